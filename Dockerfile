# Dependencies and the program, compiled. Nothing of this stage but /app and /src reaches the image.
FROM python:3.13-slim AS build

# The dependencies: exact versions, checked against their hashes, binary wheels only. Of botocore's descriptions of
# every AWS service we keep the ones that are called, credentials included.
COPY .ci/pins/runtime.txt scripts/trim_botocore.py /tmp/
RUN python -m venv --without-pip /app \
    && python -m pip --python /app/bin/python install --no-cache-dir --no-compile --disable-pip-version-check --root-user-action ignore \
        --no-deps --require-hashes --only-binary=:all: -r /tmp/runtime.txt \
    && python /tmp/trim_botocore.py /app/lib/python3.13/site-packages/botocore/data \
    && python -m compileall -q -j 0 --invalidation-mode unchecked-hash /app/lib/python3.13/site-packages

# The program, compiled for the place where it will be.
COPY src/email_processor /src/email_processor
RUN python -m compileall -q -j 0 --invalidation-mode unchecked-hash \
        -s /src -p /app/lib/python3.13/site-packages /src/email_processor \
    && printf '#!/bin/sh\nexec /app/bin/python -I -B -X faulthandler -m email_processor "$@"\n' >/src/email-processor \
    && chmod 755 /src/email-processor


FROM python:3.13-slim

# The base image comes without compiled modules, and on a read-only root Python would compile them at every start.
RUN python -m compileall -q -j 0 --invalidation-mode unchecked-hash \
        -x '/(test|idlelib|tkinter|lib2to3|turtledemo|ensurepip|site-packages)/' /usr/local/lib/python3.13

COPY --from=build /app /app
COPY --from=build /src/email-processor /app/bin/email-processor
COPY --from=build /src/email_processor /app/lib/python3.13/site-packages/email_processor

ENV PATH=/app/bin:$PATH
WORKDIR /app
USER 1000
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s --retries=3 \
    CMD ["/app/bin/python", "-I", "-B", "-m", "email_processor", "healthcheck"]

# -I: no PYTHON* variable and no module of the working directory changes what runs.
# -B: nothing is written beside the modules. -X faulthandler: a crash of native code leaves a stack trace.
ENTRYPOINT ["/app/bin/python", "-I", "-B", "-X", "faulthandler", "-m", "email_processor"]
CMD ["run"]

ARG VERSION=1.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="email-processor" \
      org.opencontainers.image.description="Archives every validated email from an SQS queue as one JSON object in S3, exactly once." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
