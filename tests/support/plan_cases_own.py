"""Cases of an account that only factory has touched: made, made again, changed."""

from __future__ import annotations

from plan_case import (
    ALL,
    CACHED,
    DEMO,
    IN_PLACE,
    NEXT_IMAGE,
    NOTHING,
    PLACE,
    ROLL,
    Case,
    Exists,
)

OWN = (
    # --- from nothing
    Case("an empty account: all is made", actions=ALL),
    Case(
        "no model, no volume",
        {"models": []},
        actions={"template": "create", "endpoint": "create"},
        fields={"template": ("image", "container_disk_gb")},
    ),
    Case(
        "a CPU worker gets an instance whose disk and memory suffice",
        {"gpu": None},
        actions=ALL,
        weights_gb=1,
        fields={
            "volume": ("data_center", "size_gb"),
            "endpoint": (
                *("image", "container_disk_gb", "cpus", "data_centers", "workers_min", "workers_max"),
                *("idle_timeout_s", "scaler", "scaler_value", "execution_timeout_ms", "flashboot", "volume"),
            ),
        },
    ),
    Case(
        "a private image: its registry's login comes first",
        actions={"volume": "create", "login": "create", "template": "create", "endpoint": "create"},
        is_public=False,
    ),
    Case(
        "request_count has no idle time-out",
        {"endpoint": {"scaler": {"type": "request_count", "value": 2}}},
        actions=ALL,
    ),
    Case("min_vram_gb alone chooses the pools", {"gpu": {"min_vram_gb": 40}}, actions=ALL),
    Case(
        "min_vram_gb larger than any card",
        {"gpu": {"min_vram_gb": 400}, "models": []},
        actions={"template": "create", "endpoint": "create"},
        findings=("!no_pool",),
        error="preflight",
    ),
    Case(
        "a volume of a given size",
        {"disk": {"volume": 300}},
        actions=ALL,
        fields={"volume": ("data_center", "size_gb")},
    ),
    Case(
        "a volume in a given data centre",
        {"endpoint": {"data_centers": ["US-IL-1"]}, "gpu": {"pools": ["ADA_24"]}},
        actions=ALL,
    ),
    Case("FlashBoot from the start", {"endpoint": {"flashboot": True}}, actions=ALL),
    Case(
        "several GPUs a worker, no worker at all",
        {"gpu": {"pools": ["AMPERE_24"], "count": 2}, "endpoint": {"workers": {"max": 0}}},
        actions=ALL,
        findings=("no_workers",),
    ),
    Case("a secret is handed over by reference", {"secrets": ["HF_TOKEN"]}, Exists(secrets=("HF_TOKEN",)), ALL),
    Case(
        "a long download gets more time to start",
        actions=ALL,
        weights_gb=200,
        fields={"template": ("image", "container_disk_gb", "env")},
    ),
    Case(
        "a model that RunPod brings needs no volume",
        {"models": CACHED},
        actions={"template": "create", "endpoint": "create"},
        fields={
            "endpoint": (
                *("image", "container_disk_gb", "pools", "gpu_count", "workers_min", "workers_max", "idle_timeout_s"),
                *("scaler", "scaler_value", "execution_timeout_ms", "flashboot", "models"),
            )
        },
    ),
    # --- unchanged
    Case("a second time: nothing", exists=DEMO, actions=NOTHING),
    Case("a second time, on a CPU", {"gpu": None}, Exists(made=({"gpu": None},)), NOTHING),
    Case(
        "a second time, with min_vram_gb",
        {"gpu": {"min_vram_gb": 40}},
        Exists(made=({"gpu": {"min_vram_gb": 40}},)),
        NOTHING,
    ),
    Case(
        "stock moved: pools that were chosen stay",
        {"gpu": {"min_vram_gb": 40}},
        Exists(made=({"gpu": {"min_vram_gb": 40}},), stock=(("AMPERE_48", "*", "NONE"),)),
        NOTHING,
        findings=("first_pool_empty",),
    ),
    Case(
        "a second time, with request_count",
        {"endpoint": {"scaler": {"type": "request_count", "value": 2}}},
        Exists(made=({"endpoint": {"scaler": {"type": "request_count", "value": 2}}},)),
        NOTHING,
    ),
    Case(
        "a volume larger than needed stays",
        {"disk": {"volume": 50}},
        Exists(made=({"disk": {"volume": 100}},)),
        NOTHING,
    ),
    Case(
        "a registry login that is there stays",
        exists=Exists(made=({"private": True},)),
        actions=NOTHING | {"login": "unchanged"},
        is_public=False,
    ),
    Case(
        "a second time, with a cached model",
        {"models": CACHED},
        Exists(made=({"models": CACHED},)),
        {"template": "unchanged", "endpoint": "unchanged"},
    ),
    # --- releases
    Case(
        "another image",
        exists=DEMO,
        actions=ROLL,
        image=NEXT_IMAGE,
        fields={"template": ("image",), "endpoint": ("image",)},
    ),
    Case("a variable more", {"env": {"LEVEL": "2"}}, DEMO, ROLL, {"template": ("env",), "endpoint": ("env",)}),
    Case(
        "a variable less",
        {},
        Exists(made=({"env": {"LEVEL": "2"}},)),
        ROLL,
        {"template": ("env",), "endpoint": ("env",)},
    ),
    Case(
        "another container disk",
        {"disk": {"container": 60}},
        DEMO,
        ROLL,
        {"template": ("container_disk_gb",), "endpoint": ("container_disk_gb",)},
    ),
    Case(
        "a secret more",
        {"secrets": ["HF_TOKEN"]},
        Exists(made=({},), secrets=("HF_TOKEN",)),
        ROLL,
        {"endpoint": ("env",)},
    ),
    Case(
        "pools in another order",
        {"gpu": {"pools": ["AMPERE_24", "ADA_24"]}},
        Exists(made=({"gpu": {"pools": ["ADA_24", "AMPERE_24"]}},)),
        PLACE,
        {"endpoint": ("pools",)},
    ),
    Case(
        "more GPUs a worker", {"gpu": {"pools": ["AMPERE_24"], "count": 2}}, DEMO, PLACE, {"endpoint": ("gpu_count",)}
    ),
    Case(
        "a CUDA floor", {"gpu": {"pools": ["AMPERE_24"], "min_cuda": "12.4"}}, DEMO, PLACE, {"endpoint": ("min_cuda",)}
    ),
    Case("a CUDA floor from the image", exists=DEMO, actions=PLACE, cuda="12.4", fields={"endpoint": ("min_cuda",)}),
    Case(
        "a CUDA floor taken away",
        {},
        Exists(made=({"gpu": {"pools": ["AMPERE_24"], "min_cuda": "12.4"}},)),
        PLACE,
        {"endpoint": ("min_cuda",)},
    ),
    Case(
        "the volume is no longer needed: it stays, unlinked",
        {"models": []},
        DEMO,
        {"template": "unchanged", "endpoint": "release"},
        {"endpoint": ("data_centers", "volume")},
    ),
    Case(
        "another volume",
        {"volume": "other"},
        DEMO,
        {"volume": "create", "template": "unchanged", "endpoint": "release"},
        {"endpoint": ("volume",)},
    ),
    Case(
        "the image became private",
        exists=DEMO,
        is_public=False,
        actions={"volume": "unchanged", "login": "create", "template": "update", "endpoint": "release"},
        fields={"endpoint": ("login",)},
    ),
    Case(
        "RunPod brings a model more",
        {"models": [*CACHED, {"repo": "org/second", "placement": "cached"}]},
        Exists(made=({"models": CACHED},)),
        {"template": "unchanged", "endpoint": "release"},
        {"endpoint": ("models",)},
    ),
    Case(
        "from the volume to RunPod's cache",
        {"models": CACHED},
        DEMO,
        {"template": "unchanged", "endpoint": "release"},
        {"endpoint": ("data_centers", "volume", "models")},
    ),
    Case(
        "from RunPod's cache to the volume, where the cache is seen",
        {},
        Exists(made=({"models": CACHED},)),
        {"volume": "create", "template": "unchanged", "endpoint": "release"},
        {"endpoint": ("data_centers", "volume", "models")},
        clouds=("fake", "graphql"),
    ),
    Case(
        "more workers, with a cached model",
        {"models": CACHED, "endpoint": {"workers": {"max": 5}}},
        Exists(made=({"models": CACHED},)),
        {"template": "unchanged", "endpoint": "update"},
        {"endpoint": ("workers_max",)},
    ),
    # --- in place
    Case("more workers", {"endpoint": {"workers": {"max": 5}}}, DEMO, IN_PLACE, {"endpoint": ("workers_max",)}),
    Case(
        "no workers",
        {"endpoint": {"workers": {"max": 0}}},
        DEMO,
        IN_PLACE,
        {"endpoint": ("workers_max",)},
        ("no_workers",),
    ),
    Case(
        "time-outs",
        {"endpoint": {"idle_timeout_s": 60, "execution_timeout_s": 1200}},
        DEMO,
        IN_PLACE,
        {"endpoint": ("idle_timeout_s", "execution_timeout_ms")},
    ),
    Case(
        "the other scaler",
        {"endpoint": {"scaler": {"type": "request_count", "value": 2}}},
        DEMO,
        IN_PLACE,
        {"endpoint": ("idle_timeout_s", "scaler", "scaler_value")},
    ),
    Case("FlashBoot", {"endpoint": {"flashboot": True}}, DEMO, IN_PLACE, {"endpoint": ("flashboot",)}),
    Case(
        "a volume that must grow",
        {"disk": {"volume": 100}},
        DEMO,
        NOTHING | {"volume": "update"},
        {"volume": ("size_gb",)},
    ),
)
