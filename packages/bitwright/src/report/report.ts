// report.html: one self-contained page about a run, finished or not, from the events of its journal and nothing else. No part of it
// loads anything; every text from outside is escaped, and the page forbids itself any other script or address.
import type { StudyEvent } from '../study/events.ts'
import { bitsSection } from './bits-chart.ts'
import { costCards, dataSection, differingSection, heroSection, stateBanner } from './cards.ts'
import { confusionSection } from './confusion.ts'
import { finalistsSection } from './finalists-table.ts'
import { frontSection } from './front-chart.ts'
import { membersSection } from './front-table.ts'
import { html, trusted, type Html } from './html.ts'
import { lifelongSection } from './lifelong-section.ts'
import { lineChart, type LineChart } from './line-chart.ts'
import { mistakesSection } from './mistakes.ts'
import { networkSection } from './network-drawing.ts'
import { averageBits, bestEvaluation, gatherReport, type ReportData } from './report-data.ts'
import { script } from './script.ts'
import { streamSection } from './stream-section.ts'
import { style } from './style.ts'
import { count, percent } from './units.ts'

const trainingCharts: readonly LineChart[] = [
  {
    title: 'Loss',
    series: [
      { label: 'training', colour: 'accent', value: (epoch) => epoch.trainLoss },
      { label: 'validation', colour: 'second', value: (epoch) => epoch.validationLoss },
    ],
    format: (value) => value.toFixed(2),
    floor: 0,
  },
  {
    title: 'Accuracy',
    series: [
      { label: 'training', colour: 'accent', value: (epoch) => epoch.trainAccuracy },
      { label: 'validation', colour: 'second', value: (epoch) => epoch.validationAccuracy },
    ],
    format: (value) => percent(value, 0),
    floor: 0,
    ceiling: 1,
  },
  {
    title: 'Average bits',
    series: [
      { label: 'weights', colour: 'accent', value: (epoch) => epoch.averageWeightBits },
      { label: 'activations', colour: 'second', value: (epoch) => epoch.averageActivationBits },
    ],
    format: (value) => value.toFixed(1),
    floor: 0,
  },
  {
    title: 'Expected MACs',
    series: [{ label: 'of the search', colour: 'warm', value: (epoch) => epoch.expectedMacs }],
    format: count,
    floor: 0,
  },
]

/** The page for a run. `command`: what to show instead of the command in the journal. */
export function renderReport(events: readonly StudyEvent[], options: { readonly command?: string } = {}): string {
  const data = gatherReport(events)
  const command = options.command ?? data.started?.command ?? ''
  const classes = data.data?.classes ?? data.network?.network.classes ?? []
  const title = data.network?.network.name ?? data.candidates.at(-1)?.network.name ?? 'A run in progress'
  const page = html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta
          http-equiv="Content-Security-Policy"
          content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
        />
        <link rel="icon" href="data:," />
        <title>${title} · Bitwright</title>
        <style>
          ${trusted(style)}
        </style>
      </head>
      <body>
        <main>
          <div class="masthead">
            ${logo()}
            <div>
              <h1>${title}</h1>
              <p>${subtitle(data, classes)}</p>
            </div>
            <button id="theme" aria-label="switch between light and dark">◐</button>
          </div>
          ${stateBanner(data, command)}
          ${command !== '' && html`<div class="card command"><code id="command">${wrapBetweenWords(command)}</code><button data-copy="command">Copy</button></div>`}
          ${heroSection(data)} ${lifelongSection(data)} ${costCards(data)} ${frontSection(data.candidates, data.budget, data.things)}
          ${finalistsSection(data)} ${membersSection(data)} ${trainingSection(data)}
          ${confusionSection(bestEvaluation(data), classes, data.things)} ${mistakesSection(bestEvaluation(data), classes)}
          ${streamSection(data.stream)} ${bitsSection(data.network?.layers ?? [], averageBits(data))}
          ${networkSection(data.network?.network)} ${differingSection(data, classes)} ${dataSection(data)}
          <footer>Made by Bitwright${data.started && html` ${data.started.version}`}</footer>
        </main>
        <div id="tip" hidden></div>
        <script>
          ${trusted(script)}
        </script>
      </body>
    </html> `
  return page.markup
}

function trainingSection({ epochs }: ReportData): Html {
  if (epochs.length === 0) return html``
  return html`<section class="card" id="training">
    <header>
      <h2>Training</h2>
      <p>${epochs.length} epochs; the bands are the stages.</p>
    </header>
    <div class="panels">${trainingCharts.map((chart) => lineChart(chart, epochs))}</div>
  </section>`
}

function subtitle({ data, network, things }: ReportData, classes: readonly string[]): string {
  const words = classes.length > 0 ? `${classes.length} classes` : 'classes not known yet'
  const input = network && (network.network.frontEnd.kind === 'raw' ? 'raw audio in' : `${network.network.frontEnd.kind} in`)
  const what = things === 'images' ? 'Image classifier' : things === 'nodes' ? 'Node classifier' : 'Keyword spotter'
  const inputs = network?.network.frontEnd.kind === 'image' || network?.network.frontEnd.kind === 'graph' ? [] : input ? [input] : []
  return [what, words, ...inputs, ...(data ? [`${data.counts.train} training ${things}`] : [])].join(' · ')
}

/** A browser breaks lines after hyphens too, which tears flags apart. */
function wrapBetweenWords(command: string): Html[] {
  return command.split(' ').map((word, index) => html`${index > 0 && ' '}<span>${word}</span>`)
}

/** Four columns of bits, as many lit as a wright would keep. */
function logo(): Html {
  const lit = [3, 1, 2, 4]
  return html`<svg class="logo" viewBox="0 0 40 40" aria-hidden="true">
    ${lit.map((height, column) =>
      [0, 1, 2, 3].map(
        (row) => html`<rect class="${row < height && 'on'}" x="${1 + column * 10}" y="${31 - row * 10}" width="8" height="8" rx="2" />`,
      ),
    )}
  </svg>`
}
