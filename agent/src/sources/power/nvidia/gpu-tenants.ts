/** Who sits on which GPU at the moment: compute processes of the driver, named by the rules of the configuration. */
import { deploymentsByProcess, type ProcessRule } from './gpu-deployments.js';
import type { GpuProcesses } from './gpu-processes.js';

/** Devices by deployment; a deployment that a rule names and that sits nowhere has none. */
export type Tenancy = ReadonlyMap<string, ReadonlySet<string>>;

/** Asked again and again; close it when it is not asked any more. */
export interface Tenants {
  look(): Promise<Tenancy>;
  close(): Promise<void>;
}

/** @throws TelemetryError as the process list does */
export async function tenancy(processes: GpuProcesses, rules: readonly ProcessRule[]): Promise<Tenancy> {
  const tenants = new Map<string, Set<string>>(rules.map(({ deployment }) => [deployment, new Set()]));
  for (const device of await processes.devices()) {
    for (const deployment of deploymentsByProcess(await processes.processesOn(device), rules).deployments.keys()) tenants.get(deployment)?.add(device);
  }
  return tenants;
}
