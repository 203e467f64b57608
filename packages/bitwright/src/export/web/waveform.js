// The last seconds of sound as bars of their loudest samples, with a flag where a word was detected.

const seconds = 6
const bucketsPerSecond = 50
const count = seconds * bucketsPerSecond

export class Waveform {
  constructor(canvas, sampleRate) {
    this.canvas = canvas
    this.bucketSamples = Math.max(1, Math.round(sampleRate / bucketsPerSecond))
    this.peaks = new Float32Array(count)
    this.flags = []
    this.clear()
    new ResizeObserver(() => this.request()).observe(canvas)
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.request())
    document.documentElement.addEventListener('themechange', () => this.request())
  }

  clear() {
    this.peaks.fill(0)
    this.flags = []
    this.buckets = 0
    this.peak = 0
    this.filled = 0
    this.request()
  }

  /** Takes 16-bit samples. */
  push(samples) {
    for (const sample of samples) {
      this.peak = Math.max(this.peak, Math.abs(sample))
      if (++this.filled === this.bucketSamples) this.next()
    }
    this.request()
  }

  /** Lets time pass in which nothing was heard. */
  skip(lostSeconds) {
    for (let i = Math.round(lostSeconds * bucketsPerSecond); i > 0; i--) this.next()
    this.request()
  }

  flag(time, label) {
    this.flags = [...this.flags.filter((flag) => time - flag.time < seconds + 2), { time, label }]
    this.request()
  }

  next() {
    this.peaks[this.buckets++ % count] = this.peak / 32768
    this.peak = 0
    this.filled = 0
  }

  request() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = undefined
      this.draw()
    })
  }

  draw() {
    const { canvas } = this
    const ratio = window.devicePixelRatio || 1
    const [width, height] = [canvas.clientWidth, canvas.clientHeight]
    if (width === 0) return
    if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio)
    if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio)
    const context = canvas.getContext('2d')
    context.setTransform(ratio, 0, 0, ratio, 0, 0)
    context.clearRect(0, 0, width, height)
    const style = getComputedStyle(canvas)
    const probe = (name) => style.getPropertyValue(name)
    const [accent, quiet, card] = ['--accent', '--quiet', '--on-accent'].map((name) => resolved(canvas, probe(name)))
    // few bars on a narrow screen: each shows the loudest of its stretch
    const group = Math.max(1, Math.round((count * 3.2) / width))
    const bars = Math.floor(count / group)
    const step = width / bars
    const middle = height / 2 + 9
    const reach = height / 2 - 26
    const firstBar = Math.ceil(this.buckets / group) - bars
    context.lineCap = 'round'
    context.lineWidth = Math.max(1.5, step * 0.55)
    const flagBars = this.flags.map(({ time }) => (time * bucketsPerSecond) / group)
    for (let bar = 0; bar < bars; bar++) {
      let peak = 0
      for (let i = 0; i < group; i++) {
        const bucket = (firstBar + bar) * group + i
        if (bucket >= 0 && bucket < this.buckets && this.buckets - bucket <= count) peak = Math.max(peak, this.peaks[bucket % count])
      }
      // quiet sounds are seen too
      const half = Math.max(0.75, peak ** 0.5 * reach)
      const x = (bar + 0.5) * step
      const since = Math.min(...flagBars.map((at) => (at >= firstBar + bar ? at - firstBar - bar : Infinity)))
      context.strokeStyle = since * group < 0.7 * bucketsPerSecond ? accent : quiet
      context.beginPath()
      context.moveTo(x, middle - half)
      context.lineTo(x, middle + half)
      context.stroke()
    }
    context.font = `600 13px ${style.fontFamily}`
    context.textBaseline = 'middle'
    let end = -Infinity
    for (const [index, { label }] of this.flags.entries()) {
      const x = (flagBars[index] - firstBar) * step
      const textWidth = context.measureText(label).width
      const left = Math.min(x, width - 4) - textWidth - 16
      // below one that it would hide
      const top = left < end ? 32 : 8
      end = left + textWidth + 18
      context.fillStyle = accent
      context.beginPath()
      context.roundRect(left, top, textWidth + 16, 22, 7)
      context.fill()
      context.fillStyle = card
      context.fillText(label, left + 8, top + 11.5)
    }
  }
}

/** A canvas reads plain colours alone; the element's own colour property resolves the rest. */
function resolved(canvas, colour) {
  canvas.style.color = colour
  return getComputedStyle(canvas).color
}
