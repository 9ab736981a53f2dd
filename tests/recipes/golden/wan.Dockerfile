# Rendered by factory from a recipe: edit that, or the template.
FROM python:3.11-slim-bookworm@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef AS git
RUN --mount=type=bind,source=.machine,target=/run/machine . /run/machine/env && export DEBIAN_FRONTEND=noninteractive && apt-get update -q \
 && apt-get install -yq --no-install-recommends git ca-certificates && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/ldconfig/aux-cache /var/log/apt /var/log/dpkg.log /var/log/alternatives.log
FROM git AS source1
RUN --mount=type=bind,source=.machine,target=/run/machine . /run/machine/env && git init -q /source && cd /source \
 && { git fetch -q --depth 1 https://github.com/Wan-Video/Wan2.1 9737cba9c1c3c4d04b33fcad41c111989865d315 || git fetch -q https://github.com/Wan-Video/Wan2.1 '+refs/*:refs/all/*'; } \
 && git checkout -q 9737cba9c1c3c4d04b33fcad41c111989865d315 && rm -rf .git && find . -exec touch -h -d @315532800 {} +
FROM python:3.11-slim-bookworm@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
RUN { test "$(uname -m)" = x86_64 || { echo 'factory: the base image is not linux/amd64' >&2; exit 1; }; } \
 && python="$(command -v python3.11 || command -v python3 || command -v python || :)" && { test -z "$python" || "$python" -c 'import sys; found = "%d.%d" % sys.version_info[:2]; sys.exit(None if found == "3.11" else "factory: the base image has Python " + found + " and the recipe wants 3.11: change image.python or image.base")'; }
WORKDIR /app
RUN --mount=type=bind,source=.machine,target=/run/machine . /run/machine/env && export DEBIAN_FRONTEND=noninteractive && packages='' \
 && { python="$(command -v python3.11 || command -v python3 || command -v python)" && "$python" -c 'import ensurepip, venv' 2>/dev/null || packages="$packages python3 python3-venv"; } \
 && { test -z "$packages" || { apt-get update -q && apt-get install -yq --no-install-recommends -- $packages && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/ldconfig/aux-cache /var/log/apt /var/log/dpkg.log /var/log/alternatives.log; }; }
COPY install.py /opt/requirements/
COPY worker_runtime/requirements.txt /opt/requirements/runtime.txt
RUN --mount=type=bind,source=.machine,target=/run/machine --mount=type=cache,id=factory-packages,target=/mnt . /run/machine/env && python="$(command -v python3.11 || command -v python3 || command -v python)" && "$python" -c 'import sys; found = "%d.%d" % sys.version_info[:2]; sys.exit(None if found == "3.11" else "factory: the base image has Python " + found + " and the recipe wants 3.11: change image.python or image.base")' \
 && "$python" -m venv /opt/venv \
 && find /opt/venv -name __pycache__ -prune -exec rm -rf {} + \
 && cd /opt/requirements && /opt/venv/bin/python -B install.py runtime.txt
ENV VIRTUAL_ENV=/opt/venv PATH=/opt/venv/bin:${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}
COPY requirements.txt /opt/requirements/recipe.txt
RUN --mount=type=bind,source=.machine,target=/run/machine --mount=type=cache,id=factory-packages,target=/mnt . /run/machine/env && cd /opt/requirements && /opt/venv/bin/python -B install.py recipe.txt --with runtime.txt
COPY --from=source1 /source/ /opt/src/Wan2.1/
RUN --mount=type=bind,source=.machine,target=/run/machine ["/bin/sh", "-ec", ". /run/machine/env; sed -i 's/^from .attention import flash_attention$/from .attention import attention as flash_attention/' /opt/src/Wan2.1/wan/modules/model.py"]
RUN --mount=type=bind,source=.machine,target=/run/machine ["/bin/sh", "-ec", ". /run/machine/env; sed -i 's/WanModel.from_pretrained(checkpoint_dir)/WanModel.from_pretrained(checkpoint_dir, torch_dtype=torch.bfloat16)/' /opt/src/Wan2.1/wan/text2video.py"]
COPY worker_runtime/ /app/worker_runtime/
COPY recipe.json /app/
LABEL org.opencontainers.image.title="wan"
LABEL org.opencontainers.image.base.name="python:3.11-slim-bookworm"
LABEL org.opencontainers.image.base.digest="sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
LABEL factory.recipe.sha256="4b3e6077e568aec43f72507bfd0489bcd9f6c4da0df60f5a0000fca6248ed80a"
LABEL factory.model.wan="Wan-AI/Wan2.1-T2V-14B@57b5f2323bf6a5333e2350811aaa82a3dfa42e2d"
ENV PYTHONUNBUFFERED=1
ENV HF_HOME=/runpod-volume/huggingface
ENTRYPOINT []
CMD ["python", "-u", "-m", "worker_runtime"]
