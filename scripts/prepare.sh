# Checks for Rust, a linker and a Vulkan driver. Sourced by `train` and `test`.
#
# With STRIATE_NO_INSTALL=1 it installs nothing and only prints the commands.

RUST_WANTED=1.89

say() { printf 'striate: %s\n' "$*" >&2; }

stop() {
    say "$@"
    exit 1
}

# Whether version $1 is $2 or later.
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

# Checks for a recent Cargo and a linker, or prints how to install them.
need_rust() {
    local version rustup="curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y && . \"\$HOME/.cargo/env\""
    if command -v apt-get >/dev/null && ! { command -v curl && command -v cc; } >/dev/null; then
        rustup="$(as_root)apt-get update && $(as_root)apt-get install -y curl ca-certificates gcc libc6-dev && $rustup"
    fi
    if ! command -v cargo >/dev/null && [ -x "$HOME/.cargo/bin/cargo" ]; then
        PATH="$HOME/.cargo/bin:$PATH"
    fi
    command -v cargo >/dev/null || stop "Rust is missing. Type:  $rustup"
    version=$(cargo --version | cut -d ' ' -f 2)
    at_least "$version" "$RUST_WANTED" ||
        stop "Rust $version is too old, $RUST_WANTED is needed. Type:  rustup update stable  (or, without rustup:  $rustup)"
    if [ "$(uname -s)" = Linux ] && ! command -v cc >/dev/null; then
        stop "a C linker is missing. Type, on Debian or Ubuntu:  $(as_root)apt-get install -y gcc libc6-dev"
    fi
}

# Prefix of commands that need root.
as_root() { [ "$(id -u)" = 0 ] || printf 'sudo '; }

# Whether the Vulkan loader can find a driver, in its usual folders or by environment variables.
has_vulkan_driver() {
    [ -n "${VK_DRIVER_FILES-}${VK_ICD_FILENAMES-}${VK_ADD_DRIVER_FILES-}" ] && return 0
    local folder
    for folder in /usr/share /usr/local/share /etc "${XDG_DATA_HOME:-$HOME/.local/share}"; do
        compgen -G "$folder/vulkan/icd.d/*.json" >/dev/null && return 0
    done
    return 1
}

# Installs packages of Debian or Ubuntu, without asking for a password.
install_packages() {
    local prefix=()
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null && sudo -n true 2>/dev/null || return 1
        prefix=(sudo -n)
    fi
    local apt=("${prefix[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq)
    local install=("${apt[@]}" install -y --no-install-recommends "$@")
    # The lists of packages may be missing or old: fetch them if the first attempt fails.
    { "${install[@]}" || { "${apt[@]}" update && "${install[@]}"; }; } </dev/null >/dev/null 2>&1
}

install_software_vulkan() {
    say "no Vulkan driver found: installing the software driver, mesa-vulkan-drivers"
    install_packages mesa-vulkan-drivers
}

# Installs a Vulkan driver on Linux, or prints how to. Continues without one, since the CPU executor needs none. Other systems
# have Metal or DX12.
need_vulkan() {
    if [ "$(uname -s)" != Linux ] || has_vulkan_driver; then
        return 0
    fi
    if command -v apt-get >/dev/null; then
        [ "${STRIATE_NO_INSTALL-}" != 1 ] && install_software_vulkan && return 0
        say "no Vulkan driver found: using the CPU. To use a GPU, install its driver, or the software driver:  $(as_root)apt-get update && $(as_root)apt-get install -y mesa-vulkan-drivers"
    else
        say "no Vulkan driver found: using the CPU. To use a GPU, install its driver, or Mesa's software driver (lavapipe)"
    fi
}

# Whether the feature `mpi` can be built and run here. Tries to install what is missing.
has_mpi() {
    local tool missing=
    for tool in mpicc mpirun clang; do
        command -v "$tool" >/dev/null || missing=$tool
    done
    [ -z "$missing" ] && return 0
    command -v apt-get >/dev/null && [ "${STRIATE_NO_INSTALL-}" != 1 ] || return 1
    say "no MPI found: installing Open MPI and libclang, for the feature mpi"
    install_packages openmpi-bin libopenmpi-dev clang libclang-dev
}

need_rust
need_vulkan
