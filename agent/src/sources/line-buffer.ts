/** Text that arrives in chunks → whole lines, in bounded memory. */
const LONGEST_LINE = 64 * 1024;

export interface LineBuffer {
  /** Lines that this chunk completes, without their line ends; undefined for one that was too long to be kept. */
  push(chunk: string): readonly (string | undefined)[];
  /** Nothing of what came before is left. */
  clear(): void;
}

export function lineBuffer(longest = LONGEST_LINE): LineBuffer {
  let tail = '';
  let tooLong = false;
  return {
    push(chunk) {
      const pieces = chunk.split('\n');
      const last = pieces.pop() ?? '';
      const lines = pieces.map((piece) => {
        const line = tooLong || tail.length + piece.length > longest ? undefined : (tail + piece).replace(/\r$/, '');
        tail = '';
        tooLong = false;
        return line;
      });
      tail += last;
      if (tail.length > longest) {
        tail = '';
        tooLong = true;
      }
      return lines;
    },
    clear() {
      tail = '';
      tooLong = false;
    },
  };
}
