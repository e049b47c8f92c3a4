/** The few functions of jstat that are used; it comes without types. */
declare module 'jstat' {
  interface Distribution<Parameters extends readonly number[]> {
    /** P(X ≤ x) */
    cdf(x: number, ...parameters: Parameters): number;
    /** The x with P(X ≤ x) = p. */
    inv(p: number, ...parameters: Parameters): number;
  }
  const jstat: {
    readonly studentt: Distribution<[degreesOfFreedom: number]>;
    readonly normal: Distribution<[mean: number, deviation: number]>;
    /** Regularised incomplete beta function; false where x is not between 0 and 1. */
    ibeta(x: number, a: number, b: number): number | false;
  };
  export default jstat;
}
