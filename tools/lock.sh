#!/usr/bin/env bash
# Locks, with hashes, what development needs (dev.txt), what each image needs (operator.txt, …) and what builds a
# member (build.txt), and mutation testing (mutants.txt): `lock.sh MEMBER…`. The others follow dev.txt, so that what is
# tested is what is shipped.
# Neither addresses nor hosts of an index get into a file: every machine uses the index it is set up for.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet uv

own=()
for member in "$@"; do
    case $member in
        missionctl) own+=(--no-emit-package "$member") ;;
        *) own+=(--no-emit-package "mission-$member") ;;
    esac
done

lock() { # NAME SOURCE…
    local name=$1
    shift
    "$scratch/venv/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-emit-find-links --no-header --no-annotate \
        "${own[@]}" "$@" --output-file "requirements/$name.txt"
}

lock dev requirements/dev.in "${@/%//pyproject.toml}"
lock build --constraint requirements/dev.txt requirements/build.in
lock mutants --constraint requirements/dev.txt requirements/mutants.in
lock operator --constraint requirements/dev.txt {contracts,operator}/pyproject.toml
lock commander --constraint requirements/dev.txt {contracts,broker,commander}/pyproject.toml
lock soldier --constraint requirements/dev.txt {contracts,broker,soldier}/pyproject.toml
echo "requirements/*.txt are locked; look at their diff, then run make setup."
