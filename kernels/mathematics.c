// exp, log, tanh, sine and cosine in double precision without libm: WebAssembly has none, and both builds should agree closely.
#include "kernels.h"

double sqrt_d(double x) { return __builtin_sqrt(x); }

static double bits_to_double(uint64_t i) {
  union { uint64_t i; double d; } u = {i};
  return u.d;
}
static uint64_t double_to_bits(double d) {
  union { double d; uint64_t i; } u = {d};
  return u.i;
}

// Taylor series to degree 13 after taking out a power of two: below 1e-15 relative.
double exp_d(double x) {
  if (x != x) return x;
  if (x < -700) return 0;
  if (x > 709) return bits_to_double(0x7ff0000000000000ull);
  double scaled = x * 1.44269504088896340736;
  int64_t k = (int64_t)(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
  double r = (x - (double)k * 6.93147180369123816490e-01) - (double)k * 1.90821492927058770002e-10, y = 1;
  for (int i = 13; i > 0; i--) y = 1 + y * r / i;
  return y * bits_to_double((uint64_t)(k + 1023) << 52);
}

// 2 artanh((m - 1) / (m + 1)) on the mantissa m in [sqrt(1/2), sqrt(2)).
double log_d(double x) {
  if (!(x > 0)) return x == 0 ? -bits_to_double(0x7ff0000000000000ull) : bits_to_double(0x7ff8000000000000ull);
  uint64_t bits = double_to_bits(x);
  int exponent = (int)(bits >> 52) - 1023;
  double m = bits_to_double((bits & 0x000fffffffffffffull) | 0x3ff0000000000000ull);
  if (m > 1.41421356237309504880) m *= 0.5, exponent++;
  double s = (m - 1) / (m + 1), z = s * s, y = 0;
  for (int i = 21; i > 0; i -= 2) y = y * z + 1.0 / i;
  return 2 * s * y + exponent * 0.69314718055994530942;
}

double tanh_d(double x) { return 1 - 2 / (exp_d(2 * x) + 1); }

// Reduction to [-pi/4, pi/4] in two pieces (good for |x| up to about 1e6) and Taylor series.
void sincos_d(double x, double *sine, double *cosine) {
  double q = x * 0.63661977236758134308;
  int64_t k = (int64_t)(q < 0 ? q - 0.5 : q + 0.5);
  double r = (x - (double)k * 1.57079632673412561417) - (double)k * 6.07710050650619224932e-11, z = r * r;
  double s = 1, c = 1;
  for (int i = 17; i > 1; i -= 2) s = 1 - s * z / (i * (i - 1));
  for (int i = 16; i > 0; i -= 2) c = 1 - c * z / (i * (i - 1));
  s *= r;
  switch (k & 3) {
    case 0: *sine = s, *cosine = c; break;
    case 1: *sine = c, *cosine = -s; break;
    case 2: *sine = -s, *cosine = -c; break;
    default: *sine = -c, *cosine = s;
  }
}
