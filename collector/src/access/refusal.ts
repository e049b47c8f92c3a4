/** What every refused request is answered with, beside its status. */
export interface Refusal {
  /** Stable, e.g. `TOKEN_NEEDED`. */
  readonly error: string;
  readonly message: string;
}
