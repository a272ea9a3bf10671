#!/usr/bin/env bash
# Reads a repository in a folder with age, zstd, sed, jq and sha256sum (docs/repository-format.md says how and why).
#
#   read_without_us.sh REPOSITORY SOURCE COLLECTION [KEY]    the live records at the latest point, one line each
#   read_without_us.sh REPOSITORY SOURCE --blob ID [KEY]     the bytes of an attachment
#
# KEY is the file of the identity; a repository that is not encrypted needs none.
set -euo pipefail
[ $# -ge 3 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2; }
repository=$1 folder=$1/source/$2 wanted=$3; shift 3
blob=; if [ "$wanted" = --blob ]; then blob=$1 wanted=_blobs; shift; fi
key=${1:-} scratch=$(mktemp -d); trap 'rm -rf "$scratch"' EXIT
fail() { echo "$1" >&2; exit 1; }
cut_out() { dd if="$1" iflag=skip_bytes,count_bytes skip="$2" count="$3" bs=64K status=none; }
check() { [ "$(sha256sum <"$1")" = "$2  -" ] || fail "$3 is damaged"; }
# What upkeep merged or removed takes a longer program: docs/reader.
for commit in "$folder"/commit/*; do
    sed -n 1p "$commit" | jq -e '.maintenance == null' >/dev/null || fail 'the repository was compacted'
done
# unseal FILE DOMAIN: decrypts with the key of a domain; without a domain there is nothing to decrypt.
unseal() { if [ -z "$2" ]; then cat "$1"; else age -d -i <(age -d -i "$key" "$folder/keys/$2.age") "$1"; fi; }

# lines SEGMENT PART: all lines of a family up to the latest point, of each key the oldest first.
lines() {
    local commit last='' offset kind size digest domain name known=''
    for commit in "$folder"/commit/*; do
        if sed -n 1p "$commit" | jq -e .point >/dev/null; then last=$commit; fi
    done
    for commit in "$folder"/commit/*; do
        sed -n 1p "$commit" >"$scratch/header"
        while IFS=' ' read -r kind digest name domain; do
            [ "$kind" = "$1" ] || continue
            check "$repository/$name" "$digest" "$name"
            unseal "$repository/$name" "$domain" | zstd -dc | tac
        done < <(jq -r '.objects // [] | .[] | "\(.kind) \(.sha256) \(.name) \(.domain // "")"' "$scratch/header")
        offset=$(sed -n 1,2p "$commit" | wc -c)
        # A part that names no domain is sealed to the last of its family that was introduced.
        domain=$(jq -r --arg kind "${2/delta/data}" '[.domains // [] | .[] | select(.kind == $kind) | .id] | last // ""' "$scratch/header")
        known=${domain:-$known}
        while IFS=' ' read -r kind size digest domain; do
            cut_out "$commit" "$offset" "$size" >"$scratch/part"
            check "$scratch/part" "$digest" "$commit"
            if [ "$kind" = "$2" ]; then unseal "$scratch/part" "${domain:-$known}" | zstd -dc | tac; fi
            offset=$((offset + size))
        done < <(jq -r '.parts[] | "\(.[0]) \(.[1]) \(.[2]) \(.[3] // "")"' "$scratch/header")
        if [ "$commit" = "$last" ]; then return; fi
    done
}

# live: of each id the newest line among those of the partitions that hold it; without a partition, or with "sole", a
# line ends what was said before.
live() {
    sed -nE 's/^\{"type":"(put|del)","collection":"([^"]*)","id":"(([^"\\]|\\.)*)"(,"partition":"(([^"\\]|\\.)*)")?(,"seq":[0-9]+)?(,"sole":true)?.*/\1\t\2\t\3\t\6\t\9\n&/p' |
        awk -F'\t' -v wanted="$wanted" 'NR % 2 { type = $1; collection = $2; id = $3; partition = $4; sole = $5; next }
            collection != wanted { next }
            partition == "" || sole { count = split(said[id], past, "\t"); said[id] = ""
                for (i = 1; i <= count; i++) delete kept[id, past[i]] }
            type == "del" { delete kept[id, partition]; next }
            { delete kept[id, ""]; said[id] = said[id] partition "\t"; kept[id, partition] = $0; at[id, partition] = NR }
            END { for (key in kept) { split(key, part, SUBSEP); if (at[key] > newest[part[1]]) newest[part[1]] = at[key] }
                for (key in kept) { split(key, part, SUBSEP); if (at[key] == newest[part[1]]) print kept[key] } }' | LC_ALL=C sort
}

if [ -z "$blob" ]; then lines segment delta | live; exit; fi
lines meta-segment meta | live | jq -c --arg id "$blob" 'select(.id == $id) | .data' >"$scratch/row"
while IFS=' ' read -r object at size zstd domain; do
    unseal "$repository/$object" "$domain" >"$scratch/object"
    cut_out "$scratch/object" "$at" "$size" | if [ "$zstd" = true ]; then zstd -dc; else cat; fi
done < <(jq -r '.parts[] | "\(.object) \(.at) \(.size) \(.zstd // false) \(.domain // "")"' "$scratch/row") >"$scratch/blob"
check "$scratch/blob" "$(jq -r .sha256 "$scratch/row")" 'the attachment, or its name,'
cat "$scratch/blob"
