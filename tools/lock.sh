#!/usr/bin/env bash
# Locks requirements/dev.in and what the members ask for, with hashes: `lock.sh MEMBER…`.
# Neither addresses nor hosts of an index get into the file: every machine uses the index it is set up for.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet uv

own=()
asked=()
for member in "$@"; do
    case $member in
        missionctl) own+=(--no-emit-package "$member") ;;
        *) own+=(--no-emit-package "mission-$member") ;;
    esac
    asked+=("$member/pyproject.toml")
done

"$scratch/venv/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
    --no-emit-index-url --no-emit-find-links --no-header --no-annotate \
    "${own[@]}" requirements/dev.in "${asked[@]}" --output-file requirements/dev.txt
echo "requirements/dev.txt is locked; look at its diff, then run make setup."
