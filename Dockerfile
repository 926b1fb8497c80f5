# Dozvon on Debian forky, whose own Asterisk 22 it runs. `docker compose up` is the short way.
FROM debian:forky-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends python3 python3-venv
WORKDIR /src
COPY pyproject.toml requirements.lock README.md ./
COPY engine engine
COPY asterisk asterisk
COPY dialplans dialplans
COPY escalation_policies escalation_policies
# The versions are those of requirements.lock, and their hashes are verified; what only development needs is left out.
RUN python3 -m venv /opt/dozvon \
 && /opt/dozvon/bin/pip install --no-cache-dir uv \
 && VIRTUAL_ENV=/opt/dozvon /opt/dozvon/bin/uv pip install --no-cache --constraints requirements.lock . \
 && /opt/dozvon/bin/pip uninstall -y uv
# RHVoice's Russian and English voices with a free licence; Debian keeps them in non-free because of the others.
RUN python3 asterisk/fetch.py voices --into /opt/rhvoice && python3 asterisk/fetch.py english --into /opt/rhvoice

FROM debian:forky-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends \
        python3 ca-certificates tzdata asterisk asterisk-modules asterisk-core-sounds-ru-wav \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --create-home --home-dir /var/lib/dozvon dozvon
COPY --from=build /opt/dozvon /opt/dozvon
COPY --from=build /opt/rhvoice /opt/rhvoice
COPY asterisk/fetch.py asterisk/debs.py /opt/asterisk-setup/
# Lays links to the installed Asterisk; nothing is downloaded.
RUN python3 /opt/asterisk-setup/fetch.py asterisk --into /opt/asterisk
ENV PATH=/opt/dozvon/bin:$PATH \
    DOZVON_DATA_DIR=/var/lib/dozvon/data \
    DOZVON_ASTERISK_PREFIX=/opt/asterisk \
    DOZVON_VOICE_PREFIX=/opt/rhvoice
USER dozvon
WORKDIR /var/lib/dozvon
VOLUME /var/lib/dozvon/data
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["python3", "-c", \
    "import os, urllib.request as u; u.urlopen(f'http://127.0.0.1:{int(os.environ.get(\"DOZVON_BASE_PORT\", 15060)) + 3}/healthz')"]
ENTRYPOINT ["dozvon"]
CMD ["up"]
