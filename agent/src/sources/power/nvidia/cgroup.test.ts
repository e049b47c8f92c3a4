import { describe, expect, it } from 'vitest';
import { placeOfCgroup } from './cgroup.js';

const ID = '3f2a9c'.padEnd(64, '0');
const UID = '1b2c3d4e-0f1a-4b2c-8d3e-9f0a1b2c3d4e';
const underscored = UID.replaceAll('-', '_');

describe('a container is found in what', () => {
  it.each([
    ['docker writes on cgroup v2', `0::/system.slice/docker-${ID}.scope\n`, { container: ID }],
    ['docker writes on cgroup v1', `12:memory:/docker/${ID}\n11:cpu,cpuacct:/docker/${ID}\n`, { container: ID }],
    ['podman writes', `0::/machine.slice/libpod-${ID}.scope/container\n`, { container: ID }],
    ['containerd writes for Kubernetes with systemd', `0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${underscored}.slice/cri-containerd-${ID}.scope\n`, { container: ID, pod: UID }],
    ['containerd writes for Kubernetes with cgroupfs', `0::/kubepods/besteffort/pod${UID}/${ID}\n`, { container: ID, pod: UID }],
    ['containerd writes on cgroup v1', `4:devices:/system.slice/containerd.service/kubepods-pod${underscored}.slice:cri-containerd:${ID}\n`, { container: ID, pod: UID }],
    ['cri-o writes', `0::/kubepods.slice/kubepods-pod${underscored}.slice/crio-${ID}.scope\n`, { container: ID, pod: UID }],
    ['a static pod has', `0::/kubepods/burstable/pod${'0123456789abcdef'.repeat(2)}/${ID}\n`, { container: ID, pod: '0123456789abcdef'.repeat(2) }],
    ['docker in a pod writes: the inner one', `0::/kubepods/pod${UID}/${'e'.repeat(64)}/docker/${ID}\n`, { container: ID, pod: UID }],
  ])('%s', (_, text, place) => {
    expect(placeOfCgroup(text)).toEqual(place);
  });
});

it('says nothing of a process in no container, in another namespace, or beside a container', () => {
  for (const path of ['/', '/user.slice/user-1000.slice/session-2.scope', '/../../..', `/system.slice/crio-conmon-${ID}.scope`, '']) expect(placeOfCgroup(`0::${path}\n`), path).toEqual({});
});
