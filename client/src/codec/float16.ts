/** IEEE 754 binary16. The values are kept in a `Float32Array`, since not all browsers have `Float16Array`. */

const float64 = new Float64Array(1);
const words64 = new Uint32Array(float64.buffer);
const float32 = new Float32Array(1);
const words32 = new Uint32Array(float32.buffer);

const SMALLEST_NORMAL = 2 ** -14;
const STEP_OF_SUBNORMALS = 2 ** -24;
const ROUNDS_TO_INFINITY = 65520;

/** Rounds to the nearest binary16, ties to even. Values that are too large become infinite. */
export function roundToFloat16(value: number): number {
  const size = Math.abs(value);
  if (Number.isNaN(value)) return value;
  if (size >= ROUNDS_TO_INFINITY) return Math.sign(value) * Infinity;
  float64[0] = value;
  // Neighbouring values differ by 2^(exponent - 10), subnormal ones by 2^-24.
  const exponent = ((words64[1] >>> 20) & 0x7ff) - 1023;
  const step = size < SMALLEST_NORMAL ? STEP_OF_SUBNORMALS : 2 ** (exponent - 10);
  return roundedToEven(value / step) * step;
}

/** Rounds a number below 2^51 to the nearest integer, ties to even. Keeps the sign of zero. */
function roundedToEven(value: number): number {
  const magnitude = Math.abs(value);
  const rounded = magnitude + 2 ** 52 - 2 ** 52;
  return value < 0 || Object.is(value, -0) ? -rounded : rounded;
}

/** Converts the bits of a binary32, whose value a binary16 can hold, to those of the binary16. */
export function float16FromFloat32Bits(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const exponent = (bits >>> 23) & 0xff;
  const fraction = bits & 0x7fffff;
  if (exponent === 0xff) return sign | 0x7c00 | (fraction && (fraction >>> 13 || 0x200));
  if (exponent > 112) return sign | ((exponent - 112) << 10) | (fraction >>> 13);
  words32[0] = bits & 0x7fffffff;
  return sign | (float32[0] / STEP_OF_SUBNORMALS);
}
