# CPU:   docker build -t unposed .
# GPU:   docker build -t unposed:cuda --build-arg EXTRA_INDEX= .      (PyPI's torch brings its CUDA libraries)
# run:   docker run --rm -v "$PWD/runs:/home/unposed/runs" -v ~/data:/data:ro unposed run -s blocks -m nerf
#        docker run --rm --gpus all ... unposed:cuda run -s blocks -m nerf --device cuda

FROM python:3.11-slim AS wheel
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheel .

FROM python:3.11-slim
ARG EXTRA_INDEX=https://download.pytorch.org/whl/cpu
# triton compiles the launchers of its kernels
RUN [ -n "$EXTRA_INDEX" ] || { apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*; }
COPY constraints.txt /install/
COPY --from=wheel /wheel /install/
RUN PIP_EXTRA_INDEX_URL=$EXTRA_INDEX pip install --no-cache-dir -c /install/constraints.txt /install/*.whl
# `--user` may name anybody: caches go where everybody may write
ENV HOME=/home/unposed UNPOSED_DATA=/data UNPOSED_SCRATCH=/scratch
RUN mkdir -p /home/unposed/runs /data /scratch && chmod 1777 /home/unposed /home/unposed/runs /scratch
WORKDIR /home/unposed
ENTRYPOINT ["unposed"]
CMD ["--help"]
