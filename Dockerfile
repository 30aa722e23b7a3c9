# The image of model.lock.json by a plain docker build; BuildKit as of Docker 20.10 will do.
#
#   docker build --secret id=HF_TOKEN --tag vllm-gemma .
#
# --build-arg SMOKE=cpu   also starts the server with these weights on the CPU (docs/build.md)
# For another lock:       docker build $(python -m stages dockerfile) --secret id=HF_TOKEN ...
#
# The order of what follows: what changes seldom comes first, our code last, so that an edit of
# runtime/ makes one small layer anew. Nothing runs on top of the base, so no GPU is needed, and
# any host can build.

# Where things come from. Each can be another address, such as a mirror's.
ARG TOOL=docker.io/library/python:3.14-slim@sha256:486b8092bfb12997e10d4920897213a06563449c951c5506c2a2cfaf591c599f
ARG BASE_NAME=docker.io/vllm/vllm-openai:v0.9.0
ARG BASE_DIGEST=sha256:df2c55e5107afea09ea1a50f9dd96c99ebf97a795334c4d08f691f3d79b2ab12
ARG BASE=${BASE_NAME}@${BASE_DIGEST}
ARG HF_ENDPOINT=https://huggingface.co
# What SMOKE=cpu starts the server on: the CPU build of vLLM.
ARG CPU_BASE=docker.io/vllm/vllm-openai-cpu:v0.28.0-x86_64

# What the image says of itself: model.lock.json's facts, which a build compares with the lock.
ARG MODEL_NAME=google/gemma-3-1b-it
ARG MODEL_COMMIT=dcc83ea841ab6100d6b47a070329e1ba4cf78752
ARG WEIGHTS_DIGEST=sha256:5c979408b215cbbd4f0e50d11dafbf9b8ecb181a5ece7cfe9737482d59f6689b
ARG VLLM_VERSION=0.9.0
ARG CREATED=1970-01-01T00:00:00Z

# static: nothing is started. cpu: the server must become warm and answer.
ARG SMOKE=static
# none, or baked: the folder compile-cache/ is a layer, whose digest must be given too.
ARG COMPILE_CACHE=none
ARG COMPILE_CACHE_DIGEST


# The programs of the stages, with what their lock says.
FROM --platform=${BUILDPLATFORM} ${TOOL} AS tool
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=/stages:/packages
COPY requirements/tool.lock /
# A pip.conf of your own, for another index: --secret id=PIP_CONFIG,src=pip.conf
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=PIP_CONFIG,target=/etc/pip.conf \
    python3 -m pip install --root-user-action ignore --disable-pip-version-check \
    --target /packages --no-deps --require-hashes --requirement /tool.lock
COPY ci/src/stages /stages/stages
COPY model.lock.json /


# The model's files. The token is mounted for this one command; the cache, which holds model files
# and nothing else, lets a broken download go on where it ended.
FROM tool AS weights
ARG HF_ENDPOINT
ARG MODEL_NAME
RUN --mount=type=cache,id=prewarm-weights,target=/cache,sharing=locked \
    --mount=type=secret,id=HF_TOKEN \
    if [ -e /run/secrets/HF_TOKEN ]; then set -- --token-file /run/secrets/HF_TOKEN; fi; \
    python3 -m stages download --cache /cache --out "/model-cache/models/${MODEL_NAME}" "$@" && \
    python3 -m stages layers --weights "/model-cache/models/${MODEL_NAME}" --out /layers


# The base's files are looked at, never run.
FROM --platform=linux/amd64 ${BASE} AS base


# The compile cache, if there is one: every file is held against the cache's own list.
FROM tool AS cache-none
RUN mkdir /compile-cache

FROM tool AS cache-baked
COPY compile-cache /compile-cache
RUN python3 -m stages layers --compile-cache /compile-cache --out /layers

FROM cache-${COMPILE_CACHE} AS cache


# The runtime's modules and nothing that lies beside them; what the build was told, held against
# the lock, the base and this machine.
FROM tool AS runtime
COPY runtime /runtime
RUN python3 -m stages layers --runtime /runtime --out /layers

FROM runtime AS smoke-static
ARG BASE_NAME
ARG BASE_DIGEST
ARG MODEL_NAME
ARG MODEL_COMMIT
ARG WEIGHTS_DIGEST
ARG VLLM_VERSION
ARG COMPILE_CACHE
ARG COMPILE_CACHE_DIGEST
ARG SMOKE
RUN --mount=type=bind,from=base,target=/base \
    --mount=type=bind,from=cache,source=/compile-cache,target=/compile-cache \
    python3 -m stages dockerfile --compile-cache /compile-cache --check /base


# SMOKE=cpu: the same weights and runtime on the CPU build of vLLM, as the image's user.
# That build wants 400 MB of shared memory, where a container has 64.
FROM --platform=linux/amd64 ${CPU_BASE} AS smoke-cpu
ARG MODEL_NAME
ENV MODEL_NAME=${MODEL_NAME} HF_HOME=/model-cache PYTHONPATH=/layers/runtime/opt/prewarm \
    HOME=/tmp USER=prewarm LOGNAME=prewarm TOOLS=/tools/stages:/tools/packages
COPY --from=smoke-static /layers /layers
USER 2000:0
RUN --mount=type=bind,source=scripts/docker-smoke,target=/docker-smoke \
    --mount=type=bind,from=tool,target=/tools \
    --mount=type=bind,from=weights,source=/model-cache,target=/model-cache \
    --mount=type=tmpfs,target=/dev/shm \
    --mount=type=tmpfs,target=/tmp \
    sh /docker-smoke

FROM smoke-${SMOKE} AS tested


# The image: weights first, a layer for each kind of file.
FROM base AS packed-none
COPY --from=weights /layers/weights /
COPY --from=weights /layers/model-files /

FROM packed-none AS packed-baked
ARG COMPILE_CACHE_DIGEST
COPY --from=cache /layers/compile-cache /
LABEL dev.prewarm.compile-cache.digest=${COMPILE_CACHE_DIGEST}

FROM packed-${COMPILE_CACHE} AS image
ARG BASE_NAME
ARG BASE_DIGEST
ARG MODEL_NAME
ARG MODEL_COMMIT
ARG WEIGHTS_DIGEST
ARG VLLM_VERSION
ARG CREATED

# What the image is and how it starts, as ci/src/stages/image.py says; a test compares them.
ENV MODEL_NAME=${MODEL_NAME} \
    HF_HOME=/model-cache \
    HF_HUB_OFFLINE=1 \
    PORT=8000 \
    PYTHONPATH=/opt/prewarm \
    HOME=/tmp \
    USER=prewarm \
    LOGNAME=prewarm \
    VLLM_NO_USAGE_STATS=1 \
    DO_NOT_TRACK=1 \
    PREWARM_MODEL_COMMIT=${MODEL_COMMIT} \
    PREWARM_BASE_DIGEST=${BASE_DIGEST}
LABEL org.opencontainers.image.title=${MODEL_NAME} \
      org.opencontainers.image.description="${MODEL_NAME} on vLLM, warm before its port opens" \
      org.opencontainers.image.created=${CREATED} \
      org.opencontainers.image.base.name=${BASE_NAME} \
      org.opencontainers.image.base.digest=${BASE_DIGEST} \
      dev.prewarm.model.name=${MODEL_NAME} \
      dev.prewarm.model.commit=${MODEL_COMMIT} \
      dev.prewarm.weights.digest=${WEIGHTS_DIGEST} \
      dev.prewarm.vllm.version=${VLLM_VERSION}
USER 2000:0
WORKDIR /
EXPOSE 8000/tcp
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=1800s --retries=3 \
    CMD ["python3", "-I", "-S", "-c", "import http.client, os, sys; host = os.environ.get(\"HOST\") or \"127.0.0.1\"; port = int(os.environ.get(\"PORT\") or 8000); asked = http.client.HTTPConnection(host, port, timeout=4); asked.request(\"GET\", \"/health\"); sys.exit(asked.getresponse().status != 200)"]
ENTRYPOINT ["python3", "-P", "-m", "runtime"]

# Last, and by way of the smoke test: what has not passed it does not get in.
COPY --from=tested /layers/runtime /
