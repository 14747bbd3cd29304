/** Reads IEEE 754 binary16. */

const float32 = new Float32Array(1);
const words32 = new Uint32Array(float32.buffer);

const STEP_OF_SUBNORMALS = 2 ** -24;

/** Converts the bits of a binary16 to those of a binary32. NaN keeps its payload. */
export function float16ToFloat32Bits(half: number): number {
  const sign = (half & 0x8000) << 16;
  const exponent = (half >>> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0x1f) return sign | 0x7f800000 | (fraction << 13);
  if (exponent) return sign | ((exponent + 112) << 23) | (fraction << 13);
  float32[0] = fraction * STEP_OF_SUBNORMALS;
  return sign | words32[0];
}

/** Converts little-endian float16 samples. */
export function halves(bytes: Uint8Array, start: number, size: number): Float32Array {
  const samples = new Float32Array(size);
  const words = new Int32Array(samples.buffer);
  for (let i = 0; i < size; i++) {
    const at = start + 2 * i;
    words[i] = float16ToFloat32Bits(bytes[at] | (bytes[at + 1] << 8));
  }
  return samples;
}
