"""Which nets can be searched: asks the doctor, checks the laws, and prunes them by Torch-Pruning.

    python benchmarks/models.py --out docs/models.md
    python benchmarks/models.py --models torchvision:resnet18 timm:resnet50
    python benchmarks/models.py --what doctor --cache found.jsonl     (on an idle machine)
    pip install 'torch-tas[onnx]'; python benchmarks/models.py --what onnx --cache found.jsonl
    pip install torch-pruning; python benchmarks/models.py --what rival heads --cache found.jsonl

Five passes, each with a process of its own for every net: ``doctor`` times the command ``tas
doctor``; ``checks`` traces, derives and compares, on one thread; ``onnx`` exports the derived net;
``rival`` prunes to the same budgets by Torch-Pruning, on one thread, and ``heads`` likewise where
it can be told the heads of attention. ``--cache`` keeps a line of JSON for each, and
goes on from there: passes may run at different times, and the page has what there is.
"""

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any

from apart import apart
from models_page import BUDGET, REACHED, RIVAL_STEPS, STEPS, written

MODELS = """
torchvision: resnet18 resnet50 resnext50_32x4d wide_resnet50_2 vgg11 vgg16 vgg11_bn vgg16_bn
alexnet squeezenet1_1 densenet121 inception_v3 googlenet mobilenet_v2 mobilenet_v3_small
mobilenet_v3_large shufflenet_v2_x1_0 mnasnet1_0 efficientnet_b0 efficientnet_v2_s regnet_y_400mf
convnext_tiny vit_b_16 swin_t maxvit_t
timm: resnet50 mobilenetv3_large_100 efficientnet_b0 convnext_tiny regnety_008
vit_small_patch16_224 swin_tiny_patch4_window7_224 mobileone_s0 ghostnet_100 edgenext_small
fastvit_t8 hgnet_tiny coatnet_0_rw_224
deit_tiny_patch16_224 pvt_v2_b0 davit_tiny twins_svt_small xcit_nano_12_p16_224 crossvit_tiny_240
mobilevit_s levit_128s mvitv2_tiny res2net50_26w_4s cspresnet50 cspdarknet53 fasternet_t0
mambaout_femto starnet_s1 inception_next_tiny focalnet_tiny_srf botnet26t_256 halonet26t
lambda_resnet26t nextvit_small shvit_s1 skresnet18 mixnet_s resnetblur50 resnest14d nf_resnet26
resnetv2_50x1_bit eca_nfnet_l0 tf_efficientnet_b0 nasnetalarge pnasnet5large tresnet_m
resnet26t seresnext26d_32x4d ecaresnet26t gcresnext26ts legacy_seresnet18 gernet_s repvgg_a0 dla34
hrnet_w18_small dpn48b ese_vovnet19b_dw cait_xxs24_224 convit_tiny pit_ti_224 visformer_tiny
tnt_s_patch16_224 resmlp_12_224 mixer_s32_224 gmlp_ti16_224 poolformer_s12 efficientformer_l1
efficientvit_b0 repvit_m0_9 tiny_vit_5m_224 convnextv2_atto regnetx_002 rexnet_100 lcnet_050
fbnetc_100 spnasnet_100 selecsls42b efficientnet_lite0 mobilenetv4_conv_small ghostnetv2_100
swiftformer_xs gcvit_xxtiny deit3_small_patch16_224 mnasnet_small hardcorenas_a
"""
PASSES = ("doctor", "checks", "onnx", "rival", "heads")
SECOND = "\n# Any task\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", nargs="+", default=names(), metavar="NAME")
    parser.add_argument("--what", nargs="+", choices=PASSES, default=["doctor", "checks", "onnx"])
    parser.add_argument("--limit", type=int, default=600, help="seconds for each net, of one CPU")
    parser.add_argument("--cache", type=Path, help="lines of JSON to write, and to go on from")
    parser.add_argument("--out", type=Path, help="the page to write (default: print it)")
    parser.add_argument("--one", choices=PASSES[1:], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        warnings.filterwarnings("ignore")
        # Time of the CPU: a machine that is at other work, too, does not use it up.
        resource.setrlimit(resource.RLIMIT_CPU, (options.limit, options.limit + 5))
        signal.signal(signal.SIGXCPU, partial(_over, options.limit))
        each = {"checks": checks, "onnx": onnx, "rival": rival, "heads": partial(rival, heads=True)}
        of = each[options.one]
        print(json.dumps(of(options.models[0])))
        return
    found: dict[tuple[str, str], dict[str, Any]] = {}
    if options.cache and options.cache.is_file():
        for line in options.cache.read_text().splitlines():
            entry = json.loads(line)
            found[entry["net"], entry["pass"]] = entry
    for what in options.what:
        for name in options.models:
            if (name, what) in found:
                continue
            if what == "doctor":
                result = doctor(name)
            else:
                result = apart(options.limit, __file__, "--one", what, "--models", name)
            found[name, what] = entry = {"net": name, "pass": what, **result}
            print(json.dumps(entry), file=sys.stderr, flush=True)
            if options.cache:
                with options.cache.open("a") as file:
                    file.write(json.dumps(entry) + "\n")
    page = written(options.models, found, options.limit)
    if options.out:
        before = options.out.read_text(encoding="utf-8") if options.out.is_file() else ""
        rest = before.partition(SECOND)[1:]  # which benchmarks/any_task/run.py writes
        options.out.write_text(page + "".join(rest), encoding="utf-8")
    else:
        print(page)


def _over(limit: int, *_: object) -> None:
    raise TimeoutError(f"nothing within {limit} s")


def names() -> list[str]:
    """All nets, as ``torchvision:resnet18``."""
    source, found = "", []
    for word in MODELS.split():
        if word.endswith(":"):
            source = word
        else:
            found.append(source + word)
    return found


def doctor(name: str) -> dict[str, Any]:
    """Seconds and memory of the command, as a user gives it: imports, building, all."""
    command = [sys.executable, "-m", "tas", "doctor", "--net", name]
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - started
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        return {"error": f"exit status {child.returncode}"}
    cpu = usage.ru_utime + usage.ru_stime
    return {"seconds": seconds, "cpu": cpu, "memory": usage.ru_maxrss * 1024}


def checks(name: str) -> dict[str, Any]:
    """The laws of one net."""
    import torch

    from tas import nets
    from tas.costs import Budget, count
    from tas.inherit import Source
    from tas.methods.paper import algorithm as paper
    from tas.methods.paper.masked import MaskedSupernet

    torch.manual_seed(0)
    input = nets.full_shape(name).image
    net = nets.build(name)
    started = time.process_time()
    space, shape = halved(net, name)
    source = Source.of(space)
    source.derive(shape)
    seconds = time.process_time() - started
    lowest, highest = Budget(0).range(space)
    budget = max(int(BUDGET * highest), lowest)

    randomise(net)
    small = source.derive(shape).eval()
    counted = count(small, input)
    images = torch.randn(2, *input)
    supernet = MaskedSupernet(space).eval()
    with torch.no_grad():  # in float64: with random weights some nets make a lot of rounding
        one_hot = supernet.double()(images.double(), supernet.one_hot(shape))
        difference = (small.double()(images.double()) - one_hot).abs().max() / one_hot.std()
    del small
    supernet.float().train()
    weights = torch.optim.SGD(supernet.weight_parameters(), 1e-3)
    logits = torch.optim.Adam(supernet.logit_parameters(), 1e-2)
    batch = images, torch.tensor([0, 1])
    for _ in range(STEPS):
        figures = paper.search_step(
            supernet, batch, batch, weights, logits, tau=1.0, budget=float(budget)
        )
    return {
        "seconds": seconds,
        "widths": len(space.widths),
        "depths": len(space.depths),
        "locked": len({entry.layer for entry in space.locked}) - 1,  # but for the classifier
        "why": reason(space),
        "lowest": lowest / highest,
        "ratio": counted.macs / highest,
        "exact": [counted.macs, counted.params] == [shape.macs, shape.params],
        "difference": float(difference),
        "steps": bool(torch.isfinite(figures["loss"])),
    }


def halved(net: Any, name: str) -> tuple[Any, Any]:
    """The space of a net, and a random shape at the budget, or as near as it gets."""
    import torch

    from tas import nets
    from tas.costs import Budget
    from tas.methods.sampling import states_near
    from tas.spaces import trace

    space = trace(net, torch.zeros(1, *nets.full_shape(name).image), name=name)
    lowest, highest = Budget(0).range(space)
    budget = Budget(max(int(BUDGET * highest), lowest))
    generator = torch.Generator().manual_seed(0)
    state = states_near(space, budget, 0.98, 1.0, 1, generator)[0].tolist()
    return space, space.shape(state[: len(space.widths)], state[len(space.widths) :])


def onnx(name: str) -> dict[str, Any]:
    """The derived net as an ONNX file, which the exporter holds against PyTorch."""
    import tempfile

    import torch

    import tas
    from tas import nets
    from tas.inherit import Source

    torch.manual_seed(0)
    net = nets.build(name)
    space, shape = halved(net, name)
    small = Source.of(space).derive(shape)
    size = shape.image[1:]
    seen = tas.data.Transform("rgb", size, size, "bilinear", (0.5,) * 3, (0.25,) * 3, "zoom")
    classes = [str(number) for number in range(shape.scores)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        done = tas.export(small, path, transform=seen, classes=classes)
    return {"equal": done.difference.equal, "largest": done.difference.largest}


def randomise(net: Any) -> None:
    """Random parameters everywhere: behind the zeros of a fresh net mistakes hide."""
    import torch
    from torch import nn

    with torch.no_grad():
        for module in net.modules():
            for parameter in module.parameters(recurse=False):
                noise = torch.randn_like(parameter)
                if parameter.numel() == max(parameter.shape, default=1):
                    parameter.copy_(1 + 0.2 * noise)
                else:
                    parameter.copy_(noise * (parameter.shape[0] / parameter.numel()) ** 0.5)
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)


def reason(space: Any) -> str:
    """Why the most locked channels are locked."""
    count: dict[str, int] = {}
    for entry in space.locked:
        if "output" not in entry.reason:
            count[entry.reason] = count.get(entry.reason, 0) + entry.channels
    return max(count, key=lambda key: count[key]) if count else ""


def rival(name: str, heads: bool = False) -> dict[str, Any]:
    """Torch-Pruning, step by step until the smaller budget is met, or it fails.

    Args:
        heads: it is told the heads of attention, and the net's numbers of them are set anew.
    """
    import torch
    import torch_pruning
    from torch import nn

    from tas import nets
    from tas.costs.count import count

    torch.manual_seed(0)
    input = nets.full_shape(name).image
    net = nets.build(name).eval()
    attention = [m for m in net.modules() if hasattr(m, "qkv") and hasattr(m, "num_heads")]
    if heads and not attention:
        return {}
    for module in attention if heads else ():
        module.fused_attn = False  # it reads the graph of the plain products
    whole = count(net, input).macs
    started = time.process_time()
    pruner = torch_pruning.pruner.MagnitudePruner(
        net,
        torch.zeros(1, *input),
        importance=torch_pruning.importance.MagnitudeImportance(p=2),
        pruning_ratio=0.9,
        iterative_steps=RIVAL_STEPS,
        ignored_layers=[
            m for m in net.modules() if isinstance(m, nn.Linear) and m.out_features == 1000
        ],
        num_heads={m.qkv: m.num_heads for m in attention} if heads else {},
    )
    found, counting = {"ratio": 1.0, "lowest": 1.0, "seconds": 0.0}, 0.0
    try:
        for _ in range(RIVAL_STEPS):
            pruner.step()
            for module in attention if heads else ():
                module.num_heads = pruner.num_heads[module.qkv]
                module.attn_dim = module.qkv.out_features // 3
                module.head_dim = module.attn_dim // module.num_heads
            before = time.process_time()
            found["lowest"] = count(net, input).macs / whole  # and so the net is run
            counting += time.process_time() - before
            if found["ratio"] > BUDGET:
                found["ratio"] = found["lowest"]
                found["seconds"] = time.process_time() - started - counting
            if found["lowest"] <= REACHED[-1]:
                break
    except Exception:  # of the tool, of the net that it leaves, or that time is up
        if found["ratio"] > BUDGET:
            raise
    return found


if __name__ == "__main__":
    main()
