/** What a file that is not what it was called looks like instead: half of the way to the right manifest. */
const DIALECTS: readonly (readonly [RegExp, string])[] = [
  [/^NVIDIA-SMI (?:has failed|couldn't)/, "nvidia-smi's own error message instead of data"],
  [/^:::MLLOG /, 'an MLPerf loadgen log (mlperf-loadgen)'],
  [/^Time,\d\d-\d\d-\d{4} [\d:.]+,Watts,/, 'a SPEC PTDaemon log (ptdaemon)'],
  [/^<\?xml|^<nvidia_smi_log/, 'XML (nvidia-smi-xml)'],
  [/^# (?:HELP|TYPE) DCGM_FI_/, 'a scrape of dcgm-exporter (dcgm-exporter)'],
  [/^# (?:HELP|TYPE) /, 'a Prometheus scrape'],
  [/^#\s*Entity/, 'dcgmi dmon output (dcgmi-dmon)'],
  [/^\d{4}\/\d\d\/\d\d [\d:.]+\s*,/, 'nvidia-smi CSV without its header line; record it without `noheader`'],
  [/^(?:timestamp|index|uuid)\b.*\bpower\.draw/, 'nvidia-smi CSV (nvidia-smi-csv)'],
  [/^\s*[[{]/, 'JSON'],
];

const COLUMN_NAME = /^[\p{L}_][\p{L}\d _.()[\]%/-]{0,39}$/u;
const COLUMNS_LISTED = 40;

/** Names of columns for a message. A file without a header line may have a prompt where a name should be: that is left out. */
export const columnList = (columns: readonly string[]): string => columns.filter((name) => COLUMN_NAME.test(name) && name.split(' ').length <= 5).slice(0, COLUMNS_LISTED).join(', ');

/** @returns undefined where nothing is known. Data is never quoted, it may be the text of a prompt; names of columns are. */
export function looksLike(firstLine: string): string | undefined {
  const known = DIALECTS.find(([shape]) => shape.test(firstLine));
  if (known) return known[1];
  const cells = firstLine.split(',').map((cell) => cell.trim());
  return cells.length > 1 && cells.every((cell) => columnList([cell]) !== '') ? `CSV with the columns ${columnList(cells)}` : undefined;
}

export function notThisFormat(label: string, format: string, problem: string, firstLine: string): string {
  const guess = looksLike(firstLine);
  return `${label} is not ${format}: ${problem}${guess === undefined ? '' : `; it looks like ${guess}`}.`;
}
