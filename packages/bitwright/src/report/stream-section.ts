// What the detector does on a long recording: its figures, and the trade-off between words heard and false accepts.
import { html, type Html } from './html.ts'
import type { StreamEvent } from './report-data.ts'
import { linearScale, ticks } from './scale.ts'
import { percent } from './units.ts'

const width = 460
const height = 270
const left = 58
const right = width - 18
const top = 14
const bottom = height - 46

/** A rate beyond which nobody would want the detector: the axis ends there. */
const mostFalseAccepts = 60

export function streamSection(stream: StreamEvent | undefined): Html {
  if (!stream) return html``
  const { minutes, scores, settings, validation, wantedFalseAcceptsPerHour, signalToNoise, otherWords, isFrameByFrame } = stream
  const { recall, hits, words, falseAccepts, falseAcceptsOn, falseAcceptsPerHour, latency } = scores
  const rows: [string, string][] = [
    ['Words heard', `${hits} of ${words}`],
    ['False accepts', `${falseAccepts} in ${minutes} minutes`],
    // reports of journals from before these were counted apart lack them
    ...(falseAcceptsOn && falseAccepts > 0
      ? ([
          ['… on keywords', String(falseAcceptsOn.keywords)],
          ['… on other words', `${falseAcceptsOn.otherWords}, of ${falseAcceptsOn.otherClips} clips`],
          ['… on no word', String(falseAcceptsOn.noise)],
        ] as [string, string][])
      : []),
    ...(latency
      ? [['Latency after the word', `${latency.median.toFixed(2)} s (nine of ten: ${latency.ninetieth.toFixed(2)} s)`] as [string, string]]
      : []),
    ['Smoothing', `${settings.smoothingSeconds} s`],
    ['Threshold', settings.threshold.toFixed(4)],
    ['Refractory time', `${settings.refractorySeconds} s`],
    [
      `Validation, ${validation.minutes} minutes`,
      `${percent(validation.scores.recall)} at ${validation.scores.falseAcceptsPerHour.toFixed(1)} an hour`,
    ],
  ]
  return html`<section class="card" id="stream">
    <header>
      <h2>On a stream</h2>
      <p>
        ${minutes} minutes of test words and ${otherWords} other words, ${signalToNoise.lowest} to ${signalToNoise.highest} dB above the
        background; ${isFrameByFrame ? 'the model runs row by row' : 'the model hears a whole window at every hop'}. The detector was set on
        validation words for ${wantedFalseAcceptsPerHour} false accepts an hour.
      </p>
    </header>
    <div class="panels">
      <figure class="panel">
        <figcaption><h3>${percent(recall)} of the words at ${falseAcceptsPerHour.toFixed(1)} false accepts an hour</h3></figcaption>
        ${tradeOffChart(stream)}
      </figure>
      <table class="plain">
        <tbody>
          ${rows.map(
            ([name, value]) =>
              html`<tr>
                <th scope="row">${name}</th>
                <td class="end">${value}</td>
              </tr>`,
          )}
        </tbody>
      </table>
    </div>
  </section>`
}

function tradeOffChart({ curve, scores, wantedFalseAcceptsPerHour }: StreamEvent): Html {
  const most = Math.min(mostFalseAccepts, Math.max(...curve.map((point) => point.falseAcceptsPerHour), 2 * wantedFalseAcceptsPerHour))
  // square roots, so that the few false accepts that matter have room
  const x = linearScale([0, Math.sqrt(most)], [left + 8, right])
  const at = (rate: number): number => x(Math.sqrt(Math.min(most, rate)))
  const points = curve.filter(({ falseAcceptsPerHour }) => falseAcceptsPerHour <= most)
  const y = linearScale([0, 1], [bottom, top])
  const marks = [0, 1, 2, 5, 10, 20, 40, 60].filter((mark) => mark <= most)
  const line = points.map((point) => `${at(point.falseAcceptsPerHour).toFixed(1)},${y(point.recall).toFixed(1)}`).join(' ')
  return html`<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="Words heard against false accepts an hour">
    ${ticks([0, 1], 5).map(
      (tick) =>
        html`<line class="grid" x1="${left}" x2="${right}" y1="${y(tick)}" y2="${y(tick)}" />
          <text class="tick end" x="${left - 7}" y="${y(tick) + 4}">${percent(tick, 0)}</text>`,
    )}
    ${marks.map((mark) => html`<text class="tick middle" x="${at(mark)}" y="${bottom + 18}">${mark}</text>`)}
    <text class="tick middle" x="${(left + right) / 2}" y="${bottom + 38}">false accepts an hour</text>
    <line class="axis" x1="${left}" x2="${right}" y1="${bottom}" y2="${bottom}" />
    <polyline class="line accent" points="${line}" />
    ${points.map(
      ({ threshold, recall, falseAcceptsPerHour }) =>
        html`<circle
          class="dot accent"
          cx="${at(falseAcceptsPerHour)}"
          cy="${y(recall)}"
          r="2.5"
          data-tip="${`threshold ${threshold.toFixed(4)}\n${percent(recall)} of the words\n${falseAcceptsPerHour.toFixed(1)} false accepts an hour`}"
        />`,
    )}
    <circle class="dot warm" cx="${at(scores.falseAcceptsPerHour)}" cy="${y(scores.recall)}" r="5" data-tip="the chosen threshold" />
  </svg>`
}
