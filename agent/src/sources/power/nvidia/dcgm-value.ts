/**
 * A value as DCGM's tools write it. What it could not read is one of a range of magic numbers (dcgm_structs.h: blank, not
 * found, not supported, no permission), which an int64 in JavaScript is rounded to 2^63, or `N/A`, or nothing at all.
 */
export const isDcgmBlank = (value: number): boolean => value >= 9.2233720368547e18 || (value >= 140737488355328 && value < 140737488355344) || (value >= 0x7ffffff0 && value <= 0x7fffffff);

/** A counter of mJ passes the range of blank int32 and doubles in its life; int64 has a range of its own. */
export const isBlankCounter = (value: number): boolean => value >= 9.2233720368547e18;
