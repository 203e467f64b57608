// A headless Chromium driven through the DevTools protocol, and a static server for the page it opens. The protocol is JSON over a
// WebSocket, which Node has, so no driver is installed.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { extname, join, normalize } from 'node:path'

/** The Chromium or Chrome of this machine; undefined where there is none. */
export function findChromium(): string | undefined {
  return ['chromium', 'chromium-browser', 'google-chrome'].find((name) => spawnSync(name, ['--version']).status === 0)
}

type Values = Record<string, unknown>

interface Message {
  readonly id?: number
  readonly sessionId?: string
  readonly method?: string
  readonly params?: Values
  readonly result?: Values
  readonly error?: { readonly message: string }
}

/** Calls of the protocol and their answers; events go to the tab whose session they name. */
class Protocol {
  readonly listeners = new Map<string, (method: string, params: Values) => void>()
  private readonly socket: WebSocket
  private readonly calls = new Map<number, (message: Message) => void>()
  private count = 0

  constructor(socket: WebSocket) {
    this.socket = socket
    socket.addEventListener('message', ({ data }) => {
      const message = JSON.parse(data as string) as Message
      if (message.id !== undefined) this.calls.get(message.id)?.(message)
      else this.listeners.get(message.sessionId ?? '')?.(message.method!, message.params ?? {})
    })
  }

  async send(method: string, params: object = {}, sessionId?: string): Promise<Values> {
    const id = ++this.count
    const answer = await new Promise<Message>((resolve) => {
      this.calls.set(id, resolve)
      this.socket.send(JSON.stringify({ id, sessionId, method, params }))
    })
    this.calls.delete(id)
    if (answer.error) throw new Error(`${method}: ${answer.error.message}`)
    return answer.result ?? {}
  }
}

/** One tab. */
export class Page {
  /** What the page said on its console as an error, threw, or failed to load. */
  readonly errors: string[] = []
  /** Addresses it asked for. */
  readonly requests: string[] = []
  readonly send: (method: string, params?: object) => Promise<Values>
  /** Its cookies and permissions. */
  readonly context: string
  private onLoad = (): void => {}

  constructor(protocol: Protocol, session: string, context: string) {
    this.send = (method, params) => protocol.send(method, params, session)
    this.context = context
    protocol.listeners.set(session, (method, params) => this.receive(method, params))
  }

  async open(url: string): Promise<void> {
    const loaded = new Promise<void>((resolve) => (this.onLoad = resolve))
    await this.send('Page.navigate', { url })
    await loaded
  }

  /** The value of an expression, awaited; the page takes it for a click of the user's. */
  async evaluate<Value>(expression: string): Promise<Value> {
    const answer = await this.send('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true, userGesture: true })
    const failure = answer.exceptionDetails as { exception?: { description?: string }; text: string } | undefined
    if (failure) throw new Error(failure.exception?.description ?? failure.text)
    return (answer.result as { value: Value }).value
  }

  /** Resolves with the first truthy value that an expression has after a change of the document. */
  until<Value>(expression: string): Promise<Value> {
    return this.evaluate(`new Promise((resolve) => {
      const look = () => {
        const value = ${expression}
        if (!value) return false
        observer.disconnect()
        resolve(value)
        return true
      }
      const observer = new MutationObserver(look)
      if (!look()) observer.observe(document, { subtree: true, childList: true, characterData: true, attributes: true })
    })`)
  }

  /** Gives a file input the file that a user would choose. */
  async choose(selector: string, path: string): Promise<void> {
    const { root } = (await this.send('DOM.getDocument')) as { root: { nodeId: number } }
    const { nodeId } = await this.send('DOM.querySelector', { nodeId: root.nodeId, selector })
    await this.send('DOM.setFileInputFiles', { nodeId, files: [path] })
  }

  async screenshot(): Promise<Buffer> {
    const { data } = await this.send('Page.captureScreenshot', { format: 'png', captureBeyondViewport: true })
    return Buffer.from(data as string, 'base64')
  }

  close(): Promise<Values> {
    return this.send('Page.close')
  }

  private receive(method: string, params: Values): void {
    const { entry, exceptionDetails, request } = params as {
      entry?: { level: string }
      exceptionDetails?: object
      request?: { url: string }
    }
    if (method === 'Page.loadEventFired') this.onLoad()
    else if (method === 'Runtime.exceptionThrown') this.errors.push(JSON.stringify(exceptionDetails))
    else if (method === 'Log.entryAdded' && entry?.level === 'error') this.errors.push(JSON.stringify(entry))
    else if (method === 'Network.requestWillBeSent') this.requests.push(request!.url)
  }
}

export class Chromium {
  private readonly process: ChildProcess
  private readonly socket: WebSocket
  private readonly protocol: Protocol
  private readonly profile: string

  private constructor(process: ChildProcess, socket: WebSocket, profile: string) {
    this.process = process
    this.socket = socket
    this.protocol = new Protocol(socket)
    this.profile = profile
  }

  static async start(program: string, flags: readonly string[]): Promise<Chromium> {
    const profile = mkdtempSync(join(tmpdir(), 'bitwright-chromium-'))
    const common = [
      '--headless=new',
      '--no-sandbox',
      '--disable-gpu',
      '--no-first-run',
      '--remote-debugging-port=0',
      `--user-data-dir=${profile}`,
    ]
    const child = spawn(program, [...common, ...flags, 'about:blank'], { stdio: ['ignore', 'ignore', 'pipe'] })
    const address = await new Promise<string>((resolve, reject) => {
      let said = ''
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        said += text
        const match = /DevTools listening on (\S+)/.exec(said)
        if (match) resolve(match[1])
      })
      child.on('exit', () => reject(new Error(`${program} ended: ${said}`)))
    })
    const socket = new WebSocket(address)
    await new Promise((resolve, reject) => {
      socket.addEventListener('open', resolve)
      socket.addEventListener('error', reject)
    })
    return new Chromium(child, socket, profile)
  }

  /** A new tab with its own cookies and permissions. */
  async page({ width = 1100, height = 900, dark = false, scale = 1 } = {}): Promise<Page> {
    const { browserContextId } = await this.protocol.send('Target.createBrowserContext')
    const { targetId } = await this.protocol.send('Target.createTarget', { url: 'about:blank', browserContextId })
    const { sessionId } = await this.protocol.send('Target.attachToTarget', { targetId, flatten: true })
    const page = new Page(this.protocol, sessionId as string, browserContextId as string)
    for (const domain of ['Page', 'Runtime', 'Log', 'Network']) await page.send(`${domain}.enable`)
    await page.send('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: scale, mobile: width < 500 })
    await page.send('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value: dark ? 'dark' : 'light' }] })
    return page
  }

  /** Refuses a page a device, as its user may. */
  async deny({ context }: Page, url: string, name: 'microphone' | 'camera'): Promise<void> {
    const { origin } = new URL(url)
    await this.protocol.send('Browser.setPermission', { permission: { name }, setting: 'denied', origin, browserContextId: context })
  }

  async close(): Promise<void> {
    const ended = new Promise((resolve) => this.process.once('exit', resolve))
    await this.protocol.send('Browser.close')
    await ended
    this.socket.close()
    rmSync(this.profile, { recursive: true, force: true, maxRetries: 5 })
  }
}

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.json': 'application/json',
}

/** Serves a folder as any static host does; below a path of its own, so that an absolute address would be noticed. */
export async function serveFolder(folder: string): Promise<{ url: string; close: () => void }> {
  const server: Server = createServer((request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url!, 'http://localhost').pathname))
    try {
      if (!path.startsWith('/page/')) throw new Error('outside')
      const name = path.slice('/page/'.length) + (path.endsWith('/') ? 'index.html' : '')
      const bytes = readFileSync(join(folder, name))
      response.writeHead(200, { 'content-type': types[extname(name)] ?? 'application/octet-stream' }).end(bytes)
    } catch {
      response.writeHead(404).end()
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return { url: `http://localhost:${port}/page/`, close: () => (server.closeAllConnections(), server.close()) }
}
