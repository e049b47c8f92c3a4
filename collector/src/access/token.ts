/**
 * A token, and what is kept of it:
 *
 *     jb_3f9a1c20b7de_9d0c…64 hex digits     id (to name it by), secret (256 random bits)
 *     SHA-256 of the whole text              kept; whoever reads it can't present it
 *
 * Slow hashes (scrypt, argon2) protect what people choose, because it can be guessed. 256 random bits can't, so one round of
 * SHA-256 is enough and costs a microsecond for each request.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';

const FORM = /^jb_([0-9a-f]{12})_[0-9a-f]{64}$/;

export const newTokenText = (): string => `jb_${randomBytes(6).toString('hex')}_${randomBytes(32).toString('hex')}`;

/** The id that a text claims; undefined where it has not the form of a token. */
export const tokenId = (text: string): string | undefined => FORM.exec(text)?.[1];

export const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

/** In one time, whatever was presented: digests have one length. */
export const isDigestOf = (wanted: Buffer, presented: string): boolean => timingSafeEqual(digest(presented), wanted);
