import { describe, expect, it } from 'vitest';
import { details, flags, ifAbsent, isPresent, recordedFile, sharedFile } from '../sources/recorded-file.testing.js';
import { readRuns } from './runs-table.js';

const read = (content: string, options: unknown = {}) => readRuns({ ...recordedFile(content, 'runs.csv'), tz: 'UTC' }, options);

describe('readRuns', () => {
  it('reads energy, tokens and labels of a row', async () => {
    const content = 'joules,seconds,start,inputTokens,cachedInputTokens,outputTokens,requests,bs\n557.696,4.189,2024-07-17T09:00:00Z,89,9,128,1,8\n';
    const { runs, flagged } = await read(content, { labels: { quantization: 'fp16', tp: 4 }, labelColumns: { batch: 'bs' } });
    expect(runs).toEqual([
      { line: 2, joules: 557.696, seconds: 4.189, start: Date.parse('2024-07-17T09:00:00Z') / 1000, tokens: { input: 80, cachedInput: 9, output: 128 }, requests: 1, labels: { quantization: 'fp16', tp: '4', batch: '8' } },
    ]);
    expect(flagged).toEqual([]);
  });

  it('needs neither seconds nor start, and no tokens', async () => {
    expect((await read('joules,x\n5,1\n')).runs).toEqual([{ line: 2, joules: 5, tokens: {}, labels: {} }]);
  });

  it('reads JSON alike', async () => {
    const { runs } = await read('[{"E": 5.5, "out": 3, "dtype": "int8"}, {"E": 6, "out": 4}]', { columns: { joules: 'E', outputTokens: 'out' }, labelColumns: { quantization: 'dtype' } });
    expect(runs.map(({ joules, tokens, labels }) => [joules, tokens.output, labels])).toEqual([[5.5, 3, { quantization: 'int8' }], [6, 4, {}]]);
  });

  it.each([
    ['joules is missing', ',1,1'],
    ['joules is 0: not measured', '0,1,1'],
    ['joules is negative (-5)', '-5,1,1'],
    ['outputTokens is not a number', '5,1,OOM error'],
    ['cut off', '5,1'],
  ])('skips a row because %s, and says so', async (reason, row) => {
    const { runs, flagged } = await read(`joules,seconds,outputTokens\n5,1,1\n${row}\n`);
    expect(runs).toHaveLength(1);
    expect(details(flagged)).toEqual([`runs.csv: 1 line skipped: line 3: ${reason}`]);
  });

  it('refuses columns that are not there and options it does not know', async () => {
    await expect(read('joules_total,out\n5,1\n')).rejects.toThrow(/no column 'joules': say which one/);
    await expect(read('joules,out\n5,1\n', { labelColumns: { batch: 'bs' } })).rejects.toThrow("no column 'bs' (labelColumns.batch); it has joules, out.");
    await expect(read('joules,out\n5,1\n', { label: {} })).rejects.toThrow("'label' is not a setting here; did you mean 'labels'?");
  });
});

describe.skipIf(!isPresent)(`recorded runs${ifAbsent}`, () => {
  it('joulebench: 30 rows per file, J per token as published', async () => {
    for (const [quantization, expected] of [['fp16', 0.7183], ['int8', 2.0667], ['nf4', 2.6748]] as const) {
      const { runs, flagged } = await readRuns(
        { ...sharedFile(`recordings/joulebench-quant/energy_bench_quant_${quantization}.csv`), tz: 'UTC' },
        { columns: { joules: 'joules_total', seconds: 'elapsed_s', inputTokens: 'input_tokens', outputTokens: 'output_tokens' }, labels: { quantization }, labelColumns: { batch: 'batch_size', context: 'context_len' } },
      );
      expect(runs).toHaveLength(30);
      expect(flags(flagged)).toEqual([]);
      const cell = runs.filter(({ labels }) => labels['batch'] === '8' && labels['context'] === '256');
      const total = (of: (run: (typeof runs)[number]) => number): number => cell.reduce((sum, run) => sum + of(run), 0);
      expect(total((run) => run.joules) / total((run) => run.tokens.output ?? 0)).toBeCloseTo(expected, 4);
    }
  });

  it('ecocompute: 70 runs', async () => {
    const { runs } = await readRuns({ ...sharedFile('recordings/ecocompute-a800/raw.csv'), tz: 'UTC' }, { columns: { joules: 'total_energy_j', seconds: 'total_time_s', outputTokens: 'tokens_generated' }, labelColumns: { batch: 'batch_size' } });
    expect(runs).toHaveLength(70);
  });

  it('tokenpowerbench: runs in an array inside an object', async () => {
    const { runs } = await readRuns(
      { ...sharedFile('recordings/tokenpowerbench-h100/vllm_models--Llama-3.1-8B_32-64_200_20250529_062731.json'), tz: 'UTC' },
      { columns: { joules: 'gpu_energy', seconds: 'duration', outputTokens: 'total_output_tokens', requests: 'responses' } },
    );
    expect(runs[0]).toMatchObject({ joules: 8859.40946603051, tokens: { output: 82_809 }, requests: 512 });
  });
});
