"""Training steps of a Bitwright network in PyTorch, as the peer of bench/train-step.ts.

Reads one line of JSON: {network, batch, threads, setting, quantized}; `network` is the graph as data, `quantized` is null or the grid of
every stored value by node id. Answers {"version"} and then, for every line with a number, that many timed steps: a list of milliseconds.

Settings: `usual` is what most people write: NCHW, 1-D convolutions for signals. `tuned` unfolds the frames of raw audio into one matrix
product and updates all tensors at once, and the caller raises malloc's thresholds, so that large tensors are reused and not mapped anew
in every step. `channels_last` is `tuned` in that memory format. Which of the two is faster depends on the network and the version.

Fake-quantization uses PyTorch's own fused kernels: activations with a learned scale (gradients to value and scale, masked where the grid
clips), weights per channel with the scale of their largest magnitude, as in Bitwright.
"""
import json
import math
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F


class SincWeights(nn.Module):
    """Band-pass filters [channels, taps] from two numbers each (kernels/sinc.c)."""

    def __init__(self, channels, taps, rate):
        super().__init__()
        edges = torch.linspace(30, rate / 2 - 200, channels + 1)
        self.low = nn.Parameter(edges[:-1].clone())
        self.band = nn.Parameter(edges[1:] - edges[:-1])
        self.rate = rate
        n = torch.arange(taps) - (taps - 1) / 2
        self.register_buffer('n', n)
        self.register_buffer('window', 0.54 - 0.46 * torch.cos(2 * math.pi * torch.arange(taps) / (taps - 1)))

    def forward(self):
        f1 = 50 + self.low.abs()
        f2 = (f1 + 50 + self.band.abs()).clamp(max=self.rate / 2)
        f1, f2 = f1[:, None] / self.rate, f2[:, None] / self.rate
        value = 2 * f2 * torch.sinc(2 * f2 * self.n) - 2 * f1 * torch.sinc(2 * f1 * self.n)
        return value * self.window / (2 * (f2 - f1))


class LearnedGrid(nn.Module):
    """scale * clamp(round(x / scale)), the scale learned (LSQ, arXiv 1902.08153)."""

    def __init__(self, bits, signed, elements):
        super().__init__()
        self.limit = 2 ** (bits - 1 if signed else bits) - 1
        self.lowest = -self.limit if signed else 0
        self.scale = nn.Parameter(torch.tensor([4.0 / self.limit]))
        self.register_buffer('zero', torch.zeros(1))
        self.factor = 1 / math.sqrt(elements * self.limit)

    def forward(self, x):
        return torch._fake_quantize_learnable_per_tensor_affine(x, self.scale, self.zero, self.lowest, self.limit, self.factor)


def quantized_weights(w, bits):
    """Per output channel (axis 0), scale from the largest magnitude, gradients straight through."""
    limit = 2 ** (bits - 1) - 1
    scale = w.detach().flatten(1).abs().amax(1) / limit + 1e-12
    return torch.fake_quantize_per_channel_affine(w, scale, torch.zeros(w.shape[0], dtype=torch.int32), 0, -limit, limit)


class Layer(nn.Module):
    """Convolution, sinc or linear with bias or batch norm and activation. Maps are [batch, channels, height, width]."""

    def __init__(self, node, in_channels, tuned, quantized):
        super().__init__()
        self.node, self.tuned, self.quantized = node, tuned, quantized
        channels = node['channels']
        self.kernel = node.get('kernelSize', [1, 1])
        self.stride = node.get('stride', [1, 1])
        self.padding = node.get('padding', [0, 0, 0, 0])
        self.groups = node.get('groups', 1)
        self.signal = self.kernel[0] > 1 and self.kernel[1] == 1 and in_channels == 1
        if node['op'] == 'sinc':
            self.sinc = SincWeights(channels, self.kernel[0], node['sampleRate'])
        else:
            fan_in = in_channels // self.groups * self.kernel[0] * self.kernel[1]
            self.weight = nn.Parameter(torch.randn(channels, in_channels // self.groups, *self.kernel) * math.sqrt(2 / fan_in))
        self.bias = nn.Parameter(torch.zeros(channels)) if node['bias'] else None
        self.norm = None if node['normalization'] == 'none' else nn.BatchNorm2d(channels, affine=node['normalization'] == 'affine')

    def forward(self, x):
        w = self.sinc()[:, None, :, None] if self.node['op'] == 'sinc' else self.weight
        if self.quantized:
            w = quantized_weights(w, 8)
        top, bottom, left, right = self.padding
        even = top == bottom and left == right
        if not even:
            x = F.pad(x, (left, right, top, bottom))
        padding = (top, left) if even else (0, 0)
        if self.signal and self.tuned:
            frames = F.pad(x[:, 0, :, 0], (padding[0], padding[0])).unfold(1, self.kernel[0], self.stride[0])
            x = F.linear(frames, w[:, 0, :, 0], self.bias).permute(0, 2, 1)[..., None]
        elif self.signal:
            x = F.conv1d(x[..., 0], w[..., 0], self.bias, self.stride[0], padding[0])[..., None]
        else:
            x = F.conv2d(x, w, self.bias, self.stride, padding, 1, self.groups)
        if self.node['activation'] == 'logMagnitude':
            x = torch.log(x.abs() + 1e-3)
        if self.norm is not None:
            x = self.norm(x)
        if self.node['activation'] == 'relu':
            x = F.relu(x)
        elif self.node['activation'] == 'relu6':
            x = F.relu6(x)
        return x


class Network(nn.Module):
    def __init__(self, network, shapes, setting, quantized):
        super().__init__()
        self.nodes = network['nodes']
        self.format = torch.channels_last if setting == 'channels_last' else torch.contiguous_format
        self.layers = nn.ModuleDict()
        self.grids = nn.ModuleDict()
        for node in self.nodes:
            if node['op'] in ('convolution', 'sinc', 'linear'):
                self.layers[node['id'].replace('.', '_')] = Layer(node, shapes[node['inputs'][0]][2], setting != 'usual', quantized is not None)
            grid = (quantized or {}).get(node['id'])
            if grid:
                self.grids[node['id'].replace('.', '_')] = LearnedGrid(grid['bits'], grid['signed'], math.prod(shapes[node['id']]))

    def forward(self, x):
        values = {}
        for node in self.nodes:
            op, key = node['op'], node['id'].replace('.', '_')
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
                y = inputs[0].mean((2, 3), keepdim=True)
            elif op == 'averagePool':
                y = F.avg_pool2d(inputs[0], node['kernelSize'], node['stride'])
            else:
                y = self.layers[key](inputs[0])
            values[node['id']] = self.grids[key](y) if key in self.grids else y
        return values[self.nodes[-1]['id']][:, :, 0, 0]


def main():
    request = json.loads(sys.stdin.readline())
    torch.manual_seed(0)
    torch.set_num_threads(request['threads'])
    setting, batch, shapes = request['setting'], request['batch'], request['shapes']
    model = Network(request['network'], shapes, setting, request['quantized'])
    height, width, channels = shapes[request['network']['nodes'][0]['id']]
    x = torch.rand(batch, channels, height, width) * 2 - 1
    model, x = model.to(memory_format=model.format), x.to(memory_format=model.format)
    y = torch.arange(batch) % len(request['network']['classes'])
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, **({} if setting == 'usual' else {'foreach': True}))
    model.train()

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(model(x), y, label_smoothing=0.1)
        loss.backward()
        optimizer.step()
        return loss

    print(json.dumps({'version': torch.__version__, 'parameters': sum(p.numel() for p in model.parameters())}), flush=True)
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            start = time.perf_counter()
            loss = step()
            times.append((time.perf_counter() - start) * 1e3)
        assert math.isfinite(loss.item())
        print(json.dumps(times), flush=True)


main()
