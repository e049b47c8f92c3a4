/** A statement in the format asked for, as text that ends with a newline. */
import { monthlyCsv, monthlyHtml, monthlyMarkdown } from './render-monthly.js';
import { weeklyCsv, weeklyHtml, weeklyMarkdown } from './render-weekly.js';
import type { WeeklyReview } from './review.js';
import type { MonthlyStatement } from './statement.js';

export const STATEMENT_FORMATS = ['html', 'markdown', 'csv', 'json'] as const;
export type StatementFormat = (typeof STATEMENT_FORMATS)[number];
export type Statement = MonthlyStatement | WeeklyReview;

export function renderStatement(statement: Statement, format: StatementFormat): string {
  if (format === 'json') return `${JSON.stringify(statement, null, 2)}\n`;
  if (statement.statement === 'monthly') return { html: monthlyHtml, markdown: monthlyMarkdown, csv: monthlyCsv }[format](statement);
  return { html: weeklyHtml, markdown: weeklyMarkdown, csv: weeklyCsv }[format](statement);
}
