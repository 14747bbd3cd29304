/** IEEE 754 binary16, which typed arrays do not have everywhere: its values are kept in a `Float32Array`. */

const float64 = new Float64Array(1);
const words64 = new Uint32Array(float64.buffer);
const float32 = new Float32Array(1);
const words32 = new Uint32Array(float32.buffer);

const SMALLEST_NORMAL = 2 ** -14;
const STEP_OF_SUBNORMALS = 2 ** -24;
const ROUNDS_TO_INFINITY = 65520;

/** The value rounded once to the nearest binary16, ties to even. Infinite where it is too large. */
export function roundToFloat16(value: number): number {
  const size = Math.abs(value);
  if (Number.isNaN(value)) return value;
  if (size >= ROUNDS_TO_INFINITY) return Math.sign(value) * Infinity;
  float64[0] = value;
  // The step between neighbours is 2^-10 of the power of two below the value, and 2^-24 among the subnormals.
  const exponent = ((words64[1] >>> 20) & 0x7ff) - 1023;
  const step = size < SMALLEST_NORMAL ? STEP_OF_SUBNORMALS : 2 ** (exponent - 10);
  return roundedToEven(value / step) * step;
}

/** The nearest integer, ties to even; of numbers below 2^51. Keeps the sign of zero. */
function roundedToEven(value: number): number {
  const magnitude = Math.abs(value);
  const rounded = magnitude + 2 ** 52 - 2 ** 52;
  return value < 0 || Object.is(value, -0) ? -rounded : rounded;
}

/** The value of binary16 bits, as the bits of a binary32. NaN keeps its payload. */
export function float16ToFloat32Bits(half: number): number {
  const sign = (half & 0x8000) << 16;
  const exponent = (half >>> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0x1f) return sign | 0x7f800000 | (fraction << 13);
  if (exponent) return sign | ((exponent + 112) << 23) | (fraction << 13);
  float32[0] = fraction * STEP_OF_SUBNORMALS;
  return sign | words32[0];
}

/** The bits of a binary16, of the bits of a binary32 that holds the same value. */
export function float16FromFloat32Bits(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const exponent = (bits >>> 23) & 0xff;
  const fraction = bits & 0x7fffff;
  if (exponent === 0xff) return sign | 0x7c00 | (fraction && (fraction >>> 13 || 0x200));
  if (exponent > 112) return sign | ((exponent - 112) << 10) | (fraction >>> 13);
  words32[0] = bits & 0x7fffffff;
  return sign | (float32[0] / STEP_OF_SUBNORMALS);
}
