/** Retries: of several attempts of one request only the last counts; what the others produced was for nothing. */
export function supersededAttempts() {
  const byRequest = new Map<string, { attempt: number; row: number }[]>();
  return {
    add(request: string, attempt: number, row: number): void {
      const known = byRequest.get(request) ?? [];
      byRequest.set(request, known);
      known.push({ attempt, row });
    },
    /** Rows of which a later attempt exists. */
    superseded(): Set<number> {
      const rows = new Set<number>();
      for (const attempts of byRequest.values()) {
        const last = attempts.reduce((most, { attempt }) => Math.max(most, attempt), 0);
        for (const { attempt, row } of attempts) if (attempt < last) rows.add(row);
      }
      return rows;
    },
  };
}
