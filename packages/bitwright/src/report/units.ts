// Numbers as people read them, in the terminal and in the report.

/** 0.9234 -> "92.3 %" */
export function percent(share: number, digits = 1): string {
  return `${(share * 100).toFixed(digits)} %`
}

/** 13600000 -> "13.6M", 75700 -> "75.7k"; three significant digits. */
export function count(value: number): string {
  for (const [factor, suffix] of [
    [1e9, 'G'],
    [1e6, 'M'],
    [1e3, 'k'],
  ] as const) {
    if (Math.abs(value) >= factor * 0.9995) return `${threeDigits(value / factor)}${suffix}`
  }
  return threeDigits(value)
}

/** 20.4567 -> "20.5 ms" */
export function milliseconds(value: number): string {
  return `${threeDigits(value)} ms`
}

/** 31949 -> "31.2 KiB" */
export function bytes(value: number): string {
  if (Math.abs(value) >= 1024 ** 2) return `${threeDigits(value / 1024 ** 2)} MiB`
  return Math.abs(value) >= 1024 ? `${threeDigits(value / 1024)} KiB` : `${Math.round(value)} B`
}

function threeDigits(value: number): string {
  const size = Math.abs(value)
  return Number.isInteger(value) && size < 1000 ? String(value) : value.toFixed(size < 9.995 ? 2 : size < 99.95 ? 1 : 0)
}

/** 75 -> "1:15", 4000 -> "1:06:40", 5.2 -> "5 s" */
export function duration(seconds: number): string {
  const whole = Math.round(seconds)
  if (whole < 60) return `${whole} s`
  const minutes = Math.floor(whole / 60)
  return minutes < 60
    ? `${minutes}:${twoDigits(whole % 60)}`
    : `${Math.floor(minutes / 60)}:${twoDigits(minutes % 60)}:${twoDigits(whole % 60)}`
}

function twoDigits(value: number): string {
  return String(value).padStart(2, '0')
}
