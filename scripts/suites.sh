# Builds, runs and counts test programs. Sourced by `drivers` and `gpu-checks`.

# The programs that cargo's JSON messages name, as lines of kind, name and file.
executables() { sed -n 's/.*"kind":\["\([a-z]*\)"\].*"name":"\([^"]*\)".*"executable":"\([^"]*\)".*/\1 \2 \3/p'; }

# Builds the program and all tests with the given flags, and links the tests by name into the folder $1. Prints the program's path.
build_tests() {
    local folder=$1 messages kind name file
    shift
    messages=$(cargo test --no-run --message-format=json "$@") || return 1
    rm -rf "$folder" && mkdir -p "$folder"
    while read -r kind name file; do
        case $kind in
        test) ln -s "$file" "$folder/$name" ;;
        bin) case $file in */deps/*) ;; *) echo "$file" ;; esac ;;
        esac
    done < <(executables <<<"$messages")
}

# Whether a test program has tests that need a Vulkan device: more of them are ignored where there is none.
needs_device() { [ "$(ignored "$1")" -lt "$(VK_DRIVER_FILES=/dev/null VK_ICD_FILENAMES=/dev/null ignored "$1")" ]; }
ignored() { "$1" --list --ignored --format terse 2>/dev/null | grep -c ': test$'; }

# Runs a command for at most $1 seconds, if the system has `timeout`. SIGINT first, so that a training saves what it has learned.
limited() {
    local seconds=$1
    shift
    if command -v timeout >/dev/null; then timeout -k 15 -s INT "$seconds" "$@"; else "$@"; fi
}

# Sums of passed, failed and ignored tests in the output of test programs, stopped ones included.
counts() {
    awk '/^test .* \.\.\. ok$/ { p++ } /^test .* \.\.\. FAILED$/ { f++ } /^test .* \.\.\. ignored/ { i++ } END { print p + 0, f + 0, i + 0 }' "$1"
}
