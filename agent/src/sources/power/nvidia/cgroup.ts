/**
 * /proc/PID/cgroup → which container and pod a process is in. What runtimes write (v2 has one line, `0::PATH`; v1 one per
 * controller, all with the same tail):
 *
 *     docker           /docker/ID                      /system.slice/docker-ID.scope
 *     podman           /machine.slice/libpod-ID.scope
 *     containerd       /kubepods/burstable/podUID/ID   /kubepods.slice/…/kubepods-burstable-podUID.slice/cri-containerd-ID.scope
 *     cri-o            /kubepods.slice/…-podUID.slice/crio-ID.scope
 *     containerd, v1   /system.slice/containerd.service/kubepods-besteffort-podUID.slice:cri-containerd:ID
 *
 * In slice names a UID's dashes are underscores. A process in another cgroup namespace shows `/../..` or `/`: nothing is told.
 */
export interface ContainerPlace {
  readonly container?: string;
  readonly pod?: string;
}

/** crio-conmon-ID.scope is the monitor beside a container and not in it. */
const CONTAINER = /(?:^|[/:-])([0-9a-f]{64})(?:\.scope)?(?=$|\/)/g;
const MONITOR = /conmon-[0-9a-f]{64}/;
const POD = /pod([0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12}|[0-9a-f]{32})(?=$|[/.:])/;

export function placeOfCgroup(text: string): ContainerPlace {
  const paths = text.split('\n').map((line) => line.replace(/^\d+:[^:]*:/, ''));
  // The innermost container: docker in docker has two.
  const container = paths.filter((path) => !MONITOR.test(path)).flatMap((path) => [...path.matchAll(CONTAINER)].at(-1)?.[1] ?? [])[0];
  const pod = paths.flatMap((path) => POD.exec(path)?.[1] ?? [])[0]?.replaceAll('_', '-');
  return { ...(container !== undefined && { container }), ...(pod !== undefined && { pod }) };
}
