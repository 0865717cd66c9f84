# shellcheck shell=sh
# apt with a configuration of its own, for the scripts beside this file. It has the host's mirror and
# proxy, and Debian's keys; the host's package lists and architectures it leaves alone.

keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# make_apt DIRECTORY ARCHITECTURE TYPE SUITE: an apt in DIRECTORY for SUITE and its security updates,
# of TYPE deb or deb-src.
make_apt() {
    [ -r "$keyring" ] || fail "$keyring is missing: apt-get install debian-archive-keyring"
    apt=$1
    mirror=$(mirror_of debian)
    [ -n "$mirror" ] || fail "this host installs from no Debian mirror: name one in DEBIAN_MIRROR"
    security=$(mirror_of debian-security)

    rm -rf "$apt"
    mkdir -p "$apt/lists/partial" "$apt/archives/partial"
    : >"$apt/status"
    write_apt_configuration "$2" >"$apt/apt.conf"
    release="$3 [signed-by=$keyring] $mirror $4 main"
    updates="$3 [signed-by=$keyring] $security $4-security main"
    printf '%s\n' "$release" "$updates" >"$apt/sources.list"
    # Many mirrors have no security updates, or half of them.
    if [ -z "$security" ] || ! (in_apt update) 2>/dev/null; then
        echo "apt: Debian's security updates of $4 for $2 cannot be had from this mirror: without them" >&2
        echo "$release" >"$apt/sources.list"
        in_apt update
    fi
}

write_apt_configuration() {
    # How the host reaches its mirror. Its hooks are not wanted: they act on its own caches.
    apt-config dump | grep -E '^Acquire::(http|https|Retries|ForceIPv|Check)' || true
    cat <<END
APT::Architecture "$1";
APT::Architectures { "$1"; };
APT::Sandbox::User "";
Dir::State "$apt";
Dir::State::status "$apt/status";
Dir::Cache "$apt";
Dir::Etc::main "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::Etc::sourcelist "$apt/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
END
}

in_apt() {
    APT_CONFIG=$apt/apt.conf apt-get -qq "$@" >"$apt/log" 2>&1 || {
        cat "$apt/log" >&2
        fail "apt-get $1 failed on $mirror"
    }
}

# The mirror of this archive that the host itself installs from. A host that is not Debian names one of
# `debian` in DEBIAN_MIRROR, with the security updates beside it.
mirror_of() {
    apt-get --print-uris update 2>/dev/null | sed -n "s|^'\(.*/$1/\)dists/.*|\1|p" | head -n 1 | grep . ||
        echo "${DEBIAN_MIRROR:-}" | sed "s|/debian/*$|/$1/|"
}
