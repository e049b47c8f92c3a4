/** What pages of statements have beyond those of reports: they are printed, and show amounts as bars. */
import { html, type Markup } from '../report/html.js';

/** Drawn with CSS; the amount itself stands beside it, so that nobody needs to see it. */
export const bar = (value: number | null, most: number, kind: 'more' | 'less' | 'plain' = 'plain'): Markup =>
  value === null || most <= 0 ? html`` : html`<span class="bar ${kind}" aria-hidden="true" style="width:${(100 * Math.min(1, Math.abs(value) / most)).toFixed(1)}%"></span>`;

export const PRINT_STYLE = `
h2 { border-top: 2px solid #8886; padding-top: 1rem; } h3 { margin: 1rem 0 .25rem; } ul { margin: .25rem 0; padding-left: 1.25rem; }
thead th { white-space: normal; vertical-align: bottom; } tfoot th, tfoot td { border-top: 2px solid #8886; font-weight: 700; }
tbody th { font-weight: 400; min-width: 7rem; } dl.figures { grid-template-columns: repeat(auto-fit, minmax(15rem, 1fr)); } .bar { display: block; height: .3rem; min-width: 1px; border-radius: .15rem; background: #2563eb; margin-top: .15rem; }
.bar.more { background: #b45309; } .bar.less { background: #15803d; }
@media print {
  :root { color-scheme: light; } @page { size: A4 landscape; margin: 12mm; }
  body { font-size: 10pt; max-width: none; padding: 0; } table { display: table; width: 100%; font-size: 8.5pt; } dl.figures { grid-template-columns: repeat(4, 1fr); gap: .4rem; } dd { font-size: 1.2rem; } th, td { padding: .15rem .35rem; white-space: normal; }
  thead { display: table-header-group; } tr, dl.figures div, li { break-inside: avoid; } h2, h3, caption { break-after: avoid; } section.site + section.site { break-before: page; }
  .bar, .demonstration { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
`;
