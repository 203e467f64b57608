// The page's own behaviour: theme, copy button, tooltips. It holds no data of the run; everything is read from escaped attributes.

export const script = `
const root = document.documentElement
document.querySelector('#theme').addEventListener('click', () => {
  const dark = root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches
  root.dataset.theme = dark ? 'light' : 'dark'
})
for (const button of document.querySelectorAll('[data-copy]')) button.addEventListener('click', async () => {
  const source = document.getElementById(button.dataset.copy)
  try { await navigator.clipboard.writeText(source.textContent) } catch {
    getSelection().selectAllChildren(source)
    document.execCommand('copy')
    getSelection().removeAllRanges()
  }
  button.textContent = 'Copied'
  setTimeout(() => { button.textContent = 'Copy' }, 1500)
})
const tip = document.querySelector('#tip')
document.addEventListener('pointerover', (event) => {
  const target = event.target.closest?.('[data-tip]')
  tip.hidden = !target
  if (target) tip.textContent = target.dataset.tip
})
document.addEventListener('pointermove', (event) => {
  if (tip.hidden) return
  const { width, height } = tip.getBoundingClientRect()
  tip.style.left = Math.max(8, Math.min(innerWidth - width - 8, event.clientX + 14)) + 'px'
  tip.style.top = (event.clientY + height + 24 > innerHeight ? event.clientY - height - 12 : event.clientY + 16) + 'px'
})
`
