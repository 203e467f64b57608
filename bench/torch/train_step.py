"""Training steps of a Bitwright network in PyTorch, as the peer of bench/train-step.ts.

Speaks bench/stepper.ts's protocol: a request (the network as data, what is quantized, where the first values are), answered by the
first step; then numbers of steps, answered by the milliseconds of each, or "memory".

Settings: `usual` is what most people write: NCHW, 1-D convolutions where the network has one dimension. `tuned` runs 1-D networks as 2-D
ones of one row and updates all tensors at once, and the caller raises malloc's thresholds, so that large tensors are reused and not mapped
anew in every step. `channels_last` is `tuned` in that memory format. Which of the two is faster depends on the network and the version.
(Gathering the frames of raw audio into one matrix product was slower than either on each of the bench's networks.)

Fake-quantization uses PyTorch's own fused kernels, on the same grids as Bitwright: activations with a learned step (gradients to value and
step, masked where the grid clips); weights per channel, of 8 bits with the step of their largest magnitude, below with a learned one. A value that
several layers read at fewer bits is rounded once for all and once more for each.
"""
import json
import math
import resource
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F


class Start:
    """First values by name, as tensors."""

    def __init__(self, start):
        self.places = start['places']
        with open(start['file'], 'rb') as file:
            self.numbers = torch.frombuffer(bytearray(file.read()), dtype=torch.float32)

    def __contains__(self, name):
        return name in self.places

    def __getitem__(self, name):
        at, count = self.places[name]
        return self.numbers[at : at + count].clone()


class SincWeights(nn.Module):
    """Band-pass filters [channels, taps] from two numbers each (kernels/sinc.c)."""

    def __init__(self, low, band, taps, rate):
        super().__init__()
        self.low, self.band, self.rate = nn.Parameter(low), nn.Parameter(band), rate
        self.register_buffer('n', torch.arange(taps) - (taps - 1) / 2)
        self.register_buffer('window', 0.54 - 0.46 * torch.cos(2 * math.pi * torch.arange(taps) / (taps - 1)))

    def forward(self):
        f1 = 50 + self.low.abs()
        f2 = (f1 + 50 + self.band.abs()).clamp(max=self.rate / 2)
        f1, f2 = f1[:, None] / self.rate, f2[:, None] / self.rate
        value = 2 * f2 * torch.sinc(2 * f2 * self.n) - 2 * f1 * torch.sinc(2 * f1 * self.n)
        return value * self.window / (2 * (f2 - f1))


class LearnedGrid(nn.Module):
    """step * clamp(round(x / step)), the step learned (LSQ, arXiv 1902.08153); all levels of the width."""

    def __init__(self, grid, step, elements):
        super().__init__()
        bits, signed = grid['bits'], grid['signed']
        self.highest = 2 ** (bits - 1 if signed else bits) - 1
        self.lowest = -self.highest - 1 if signed else 0
        self.scale = nn.Parameter(step)
        self.register_buffer('zero', torch.zeros(1))
        self.factor = 1 / math.sqrt(elements * self.highest)

    def forward(self, x):
        return torch._fake_quantize_learnable_per_tensor_affine(x, self.scale, self.zero, self.lowest, self.highest, self.factor)


class QuantizedWeights(nn.Module):
    """Per output channel (axis 0), symmetric: the step learned where there is a first value for it, else from the largest magnitude."""

    def __init__(self, bits, steps, shape):
        super().__init__()
        assert bits >= 4, 'odd grids of fewer bits have no kernel here'
        self.limit = 2 ** (bits - 1) - 1
        self.scale = None if steps is None else nn.Parameter(steps)
        self.register_buffer('zero', torch.zeros(shape[0], dtype=torch.int32 if steps is None else torch.float32))
        self.factor = 1 / math.sqrt(math.prod(shape[1:]) * self.limit)

    def forward(self, w):
        if self.scale is not None:
            return torch._fake_quantize_learnable_per_channel_affine(w, self.scale, self.zero, 0, -self.limit, self.limit, self.factor)
        scale = w.detach().flatten(1).abs().amax(1) / self.limit + 1e-12
        return torch.fake_quantize_per_channel_affine(w, scale, self.zero, 0, -self.limit, self.limit)


class Layer(nn.Module):
    """
    Convolution, sinc or linear with bias or batch norm and activation. Maps are [batch, channels, height, width]; of a network with one
    dimension, which is time, [batch, channels, 1, time], or [batch, channels, time] in the usual setting.
    """

    def __init__(self, node, in_channels, form, setting, quantized, start):
        super().__init__()
        self.form = form
        self.activation = node['activation']
        name = node.get('parameters', node['id'])
        channels, self.groups = node['channels'], node.get('groups', 1)
        kernel = node.get('kernelSize', [1, 1])
        self.signal = kernel[0] > 1 and kernel[1] == 1 and in_channels == 1
        shape = [channels, in_channels // self.groups, *self.along(kernel)]
        if node['op'] == 'sinc':
            self.sinc = SincWeights(start[f'{name}.lowHz'], start[f'{name}.bandHz'], kernel[0], node['sampleRate'])
        else:
            self.sinc = None
            # [kernel][kernel][inputs of the group][outputs]
            w = start[f'{name}.weight'].view(*kernel, in_channels // self.groups, channels).permute(3, 2, 0, 1)
            self.weight = nn.Parameter(w.reshape(shape).contiguous())
        self.shape = shape
        self.quantized = None
        if quantized:
            steps = f"weights {node['id']}"
            self.quantized = QuantizedWeights(quantized['weightBits'][node['id']], start[steps] if steps in start else None, shape)
        self.stride = self.along(node.get('stride', [1, 1]))
        top, bottom, left, right = node.get('padding', [0, 0, 0, 0])
        even = top == bottom and left == right
        self.padding = self.along([top, left]) if even else 0
        self.extra = None if even else (left, right, top, bottom) if form == 'map' else (top, bottom)
        self.bias = nn.Parameter(start[f'{name}.bias']) if node['bias'] else None
        self.norm = None
        if node['normalization'] != 'none':
            norm = nn.BatchNorm1d if form == 'line' else nn.BatchNorm2d
            self.norm = norm(channels, affine=node['normalization'] == 'affine')
            if self.norm.affine:
                self.norm.weight.data.copy_(start[f'{name}.scale'])
                self.norm.bias.data.copy_(start[f'{name}.offset'])

    def along(self, pair):
        """[height, width] in the axes of this form."""
        height, width = pair
        return {'map': [height, width], 'row': [1 if width == 1 else 0, height], 'line': [height]}[self.form]

    def forward(self, x):
        w = self.weight if self.sinc is None else self.sinc().view(self.shape)
        if self.quantized is not None:
            w = self.quantized(w)
        if self.extra is not None:
            x = F.pad(x, self.extra)
        if self.form == 'line':
            x = F.conv1d(x, w, self.bias, self.stride, self.padding, 1, self.groups)
        elif self.signal and self.form == 'map':
            stride, padding = self.stride[0], self.padding[0] if self.padding else 0
            x = F.conv1d(x[..., 0], w[..., 0], self.bias, stride, padding)[..., None]
        else:
            x = F.conv2d(x, w, self.bias, self.stride, self.padding, 1, self.groups)
        if self.activation == 'logMagnitude':
            x = torch.log(x.abs() + 1e-3)
        if self.norm is not None:
            x = self.norm(x)
        if self.activation == 'relu':
            x = F.relu(x)
        elif self.activation == 'relu6':
            x = F.relu6(x)
        return x


def key(name):
    return name.replace('.', '_')


class Network(nn.Module):
    def __init__(self, request, start):
        super().__init__()
        shapes, setting, quantized = request['shapes'], request['setting'], request['quantized']
        self.nodes = request['network']['nodes']
        self.format = torch.channels_last if setting == 'channels_last' else torch.contiguous_format
        flat = all(width == 1 for _, width, _ in shapes.values())
        self.form = ('line' if setting == 'usual' else 'row') if flat else 'map'
        self.layers, self.grids, self.narrowed = nn.ModuleDict(), nn.ModuleDict(), nn.ModuleDict()
        for node in self.nodes:
            name, inputs = node['id'], node['inputs']
            if node['op'] in ('convolution', 'sinc', 'linear'):
                self.layers[key(name)] = Layer(node, shapes[inputs[0]][2], self.form, setting, quantized, start)
            for grids, kind in ((self.grids, 'values'), (self.narrowed, 'narrowed')):
                grid = (quantized or {}).get(kind, {}).get(name)
                if grid:
                    elements = math.prod(shapes[inputs[0] if kind == 'narrowed' else name])
                    grids[key(name)] = LearnedGrid(grid, start[f"{'narrowed' if kind == 'narrowed' else 'value'} {name}"], elements)

    def forward(self, x):
        values = {}
        spatial = (2,) if self.form == 'line' else (2, 3)
        for node in self.nodes:
            op, name = node['op'], key(node['id'])
            inputs = [values[i] for i in node['inputs']]
            if op == 'input':
                y = x
            elif op == 'reshape':
                height, width, channels = node['shape']
                y = inputs[0].permute(0, 2, 3, 1).reshape(-1, height, width, channels).permute(0, 3, 1, 2)
                y = y.contiguous(memory_format=self.format)
            elif op == 'add':
                y = inputs[0] + inputs[1]
                y = F.relu(y) if node['activation'] == 'relu' else y
            elif op == 'globalAveragePool':
                y = inputs[0].mean(spatial, keepdim=True)
            elif op == 'averagePool':
                y = F.avg_pool2d(inputs[0], node['kernelSize'], node['stride'])
            else:
                y = self.narrowed[name](inputs[0]) if name in self.narrowed else inputs[0]
                y = self.layers[name](y)
            values[node['id']] = self.grids[name](y) if name in self.grids else y
        return values[self.nodes[-1]['id']].flatten(1)

    def input(self, x, batch, shape):
        """Dense [batch][height][width][channels] in this network's form."""
        height, width, channels = shape
        x = x.view(batch, height, width, channels).permute(0, 3, 1, 2)
        if self.form == 'map':
            return x.contiguous(memory_format=self.format)
        return x[..., 0].contiguous() if self.form == 'line' else x.transpose(2, 3).contiguous(memory_format=self.format)


def peak_memory_mb():
    """Of this very program; the size that getrusage tells may be that of the process it was started from."""
    try:
        with open('/proc/self/status') as status:
            return next(int(line.split()[1]) for line in status if line.startswith('VmHWM')) / 1024
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main():
    request = json.loads(sys.stdin.readline())
    torch.set_num_threads(request['threads'])
    setting, batch = request['setting'], request['batch']
    start = Start(request['start'])
    model = Network(request, start)
    x = model.input(start['input'], batch, request['shapes'][request['network']['nodes'][0]['id']])
    if setting == 'channels_last':
        model = model.to(memory_format=torch.channels_last)
    y = torch.arange(batch) % len(request['network']['classes'])
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, **({} if setting == 'usual' else {'foreach': True}))
    model.train()

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(model(x), y, label_smoothing=0.1)
        loss.backward()
        optimizer.step()
        return loss

    first = {'engine': f'PyTorch {torch.__version__}, {setting}', 'loss': step().item()}
    steps = {id(p) for module in model.modules() if isinstance(module, (LearnedGrid, QuantizedWeights)) for p in module.parameters()}
    for name, chosen in (('gradient', False), ('stepGradient', True)):
        first[name] = math.sqrt(sum(p.grad.double().square().sum().item() for p in model.parameters() if (id(p) in steps) == chosen))
    print(json.dumps(first), flush=True)
    del start
    for line in sys.stdin:
        question = json.loads(line)
        if question == 'memory':
            print(json.dumps(peak_memory_mb()), flush=True)
            continue
        times = []
        for _ in range(question):
            begin = time.perf_counter()
            loss = step()
            times.append((time.perf_counter() - begin) * 1e3)
        assert math.isfinite(loss.item())
        print(json.dumps(times), flush=True)


main()
