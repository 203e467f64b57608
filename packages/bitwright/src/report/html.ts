// Markup as a tagged template that escapes whatever is put into it, so that no name from a data set can become an element.

export interface Html {
  readonly markup: string
}
type Insertable = Html | string | number | false | undefined | readonly Insertable[]

/** Inserted strings are escaped for element content and quoted attributes; nested `html` is kept, lists are joined, false is nothing. */
export function html(parts: TemplateStringsArray, ...values: readonly Insertable[]): Html {
  return { markup: parts.reduce((markup, part, index) => markup + insert(values[index - 1]) + part) }
}

/** Text of our own (styles, script) that must not be escaped. */
export function trusted(markup: string): Html {
  return { markup }
}

function insert(value: Insertable): string {
  if (value === undefined || value === false) return ''
  if (typeof value === 'string') return escapeHtml(value)
  if (typeof value === 'number') return Number.isFinite(value) ? String(Math.round(value * 100) / 100) : '0'
  if (isList(value)) return value.map(insert).join('')
  return value.markup
}

function isList(value: Insertable): value is readonly Insertable[] {
  return Array.isArray(value)
}

const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => entities[character])
}
