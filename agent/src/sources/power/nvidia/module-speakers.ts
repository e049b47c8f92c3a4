/**
 * Who speaks for a superchip module: two GPUs on one module have one serial, and each says the power of the whole. The
 * first that said it goes on to; what the others say is the same again.
 */
export interface ModuleSpeakers {
  speaks(gpu: string, moduleSerial: string): boolean;
}

export function moduleSpeakers(): ModuleSpeakers {
  const speakers = new Map<string, string>();
  return {
    speaks(gpu, serial) {
      const speaker = speakers.get(serial) ?? gpu;
      speakers.set(serial, speaker);
      return speaker === gpu;
    },
  };
}
