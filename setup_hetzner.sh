#!/usr/bin/env bash
# Makes this checkout an installation that cron runs and, with --domain, a shop on the internet.
#
#   git clone ... /opt/downstream && cd /opt/downstream && sudo ./setup_hetzner.sh --domain stories.example.com
#
# For Debian 12 and 13 and Ubuntu 24.04. Run it again to upgrade (after git pull) or to mend; what is as it should be
# is left as it is. It never touches the orders and pages in jobs/ and streams/.
set -euo pipefail
umask 022
# Also after "su" without "-", and sorting that does not depend on who runs this.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8

readonly user=downstream
readonly packages=(
    python3 python3-venv cron                                # the program, and what starts it
    fonts-noto-core fonts-noto-cjk                           # the letters of the cards and pictures, in every script
    ca-certificates tzdata logrotate unattended-upgrades ufw # the house
    restic                                                   # downstream backup restic
)
home=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
cd "$home"
readonly home templates=$home/downstream/server environments=$home/.venvs
# What root runs or installs belongs to root, what the program writes to its user.
readonly code=(.ci .git .gitignore CHANGELOG.md README.md bench docs downstream pyproject.toml setup_hetzner.sh tests)
readonly data=(jobs streams logs triggers HEARTBEAT.md .env .env.example crontab.txt)
readonly unit=downstream.service site=/etc/caddy/downstream.caddy
domain='' domain_before='' dry_run=no uninstall=no

usage() {
    cat <<'TEXT'
Usage: sudo ./setup_hetzner.sh [--domain NAME] [--dry-run]
       sudo ./setup_hetzner.sh --uninstall [--dry-run]

Installs what is missing and leaves the rest alone: packages, the user "downstream", a virtual environment, folders only
that user can read, .env from a commented template, the five lines of cron, the shop as a systemd service, log rotation,
security updates, a firewall (ssh; http and https with --domain), the clock, delivery of cron's mail to /var/mail.
Ends with "downstream doctor" and what is still to do. Asks nothing. Running it again changes nothing; after a git pull
it upgrades: commands that are running end on the old code, the next ones start on the new.

  --domain NAME  Serve the shop at https://NAME through caddy, which sees to the certificate. NAME must lead here.
                 Needed once; later runs remember it.
  --dry-run      Say what would be done, and do nothing.
  --uninstall    Stop the work: remove the lines of cron, the service, the site, the command and the environments.
                 Orders, pages, logs, .env, packages and the user stay.
  --help         Show this.
TEXT
}

main() {
    read_arguments "$@"
    [ "$(id -u)" = 0 ] || die "run it as root: sudo ./setup_hetzner.sh"
    exec 9<"$home/setup_hetzner.sh"
    flock --nonblock 9 || die "it is running already; wait until that has ended"
    if [ "$uninstall" = yes ]; then
        remove_all
        return
    fi
    check_system
    install_packages
    make_user
    make_environment
    hand_out_folders
    write_settings
    install_crontab
    install_proxy
    install_service
    install_rotation
    install_upgrades
    set_firewall
    set_clock
    deliver_mail
    install_command
    finish
}

# --- saying and doing --------------------------------------------------------------------------------------------

die() {
    printf 'setup_hetzner.sh: %s\n' "$1" >&2
    exit 1
}

say() { printf '%-12s %-15s %s\n' "$1" "$2" "$3"; }

did=no

# Runs a command that changes something; with --dry-run it is only shown.
change() {
    local shown="$*"
    shown=${shown#quietly }
    did=yes
    if [ "$dry_run" = yes ]; then
        say '' 'would run' "${shown%% "$work"*}"
    else
        "$@"
    fi
}

# Ends a step: what is so now, and whether that was this run's doing.
report() {
    if [ "$did" = no ]; then
        say "$1" 'nothing to do' "$2"
    elif [ "$dry_run" = yes ]; then
        say "$1" 'would do' "$2"
    else
        say "$1" 'done' "$2"
    fi
    did=no
}

idle=() # units that could not be started

# Shows what a command says only when it fails.
quietly() {
    local said
    said=$("$@" 2>&1 </dev/null) || {
        printf '%s\n' "$said" >&2
        die "this failed: $*"
    }
}

# The file PATH of root's holds what NEW does; its mode is 644 unless given.
put() {
    local path=$1 new=$2 mode=${3:-644}
    if ! cmp -s "$new" "$path" || [ "$(stat -c '%a %U' "$path")" != "$mode root" ]; then
        change replace_file "$path" "$new" "$mode"
    fi
}

replace_file() {
    install -D -T -m "$3" -o root -g root "$2" "$1.new"
    mv -T "$1.new" "$1"
}

# The same for a file of the user's in the installation. Written as that user, since root must not follow what may lie
# in a folder that others can write to.
put_for_user() {
    local path=$home/$1 new=$2 mode=$3
    if ! cmp -s "$new" "$path" || [ "$(stat -c '%a %U' "$path")" != "$mode $user" ]; then
        change write_as_user "$path" "$new" "$mode"
    fi
}

write_as_user() {
    # shellcheck disable=SC2016 # the user's shell expands them
    as_user sh -c 'umask 077 && cat >"$1.new" && chmod "$2" "$1.new" && mv -f "$1.new" "$1"' sh "$1" "$3" <"$2"
}

# Root reads with the user's rights, too: the file may be a link to one that is not the user's to read.
read_as_user() {
    if id "$user" >/dev/null 2>&1; then as_user cat "$home/$1" 2>/dev/null; else cat "$home/$1" 2>/dev/null; fi
}

as_user() { runuser -u "$user" -- env -i HOME="$home" PATH=/usr/bin:/bin LANG=C.UTF-8 "$@"; }

downstream() { as_user "$home/.venv/bin/downstream" --home "$home" "$@"; }

# The file PATH holds a template of downstream/server with the paths and names of this installation.
put_template() {
    sed -e "s|@HOME@|$home|g" -e "s|@USER@|$user|g" -e "s|@DOMAIN@|$domain|g" "$templates/$2" >"$work/$2"
    put "$1" "$work/$2" "${3:-644}"
}

has_systemd() { [ -d /run/systemd/system ]; }

start_unit() {
    if command -v systemctl >/dev/null && ! systemctl is-enabled --quiet "$1" 2>/dev/null; then
        change systemctl enable --quiet "$1"
    fi
    if ! has_systemd; then
        idle+=("$1")
    elif ! systemctl is-active --quiet "$1"; then
        change systemctl start "$1"
    fi
}

is_installed() { [ "$(dpkg-query --show --showformat '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

apt_install() {
    local missing=() package
    for package in "$@"; do is_installed "$package" || missing+=("$package"); done
    if [ ${#missing[@]} -gt 0 ]; then
        change apt_get update
        change apt_get install --yes --no-install-recommends "${missing[@]}"
    fi
}

# A server that has just been made may be busy with its own first upgrades: those are waited for.
apt_get() { quietly env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 "$@"; }

read_arguments() {
    while [ $# -gt 0 ]; do
        case $1 in
            --domain) domain=${2:-} && shift ;;
            --domain=*) domain=${1#*=} ;;
            --dry-run) dry_run=yes ;;
            --uninstall) uninstall=yes ;;
            -h | --help) usage && exit ;;
            *) usage >&2 && die "what is $1?" ;;
        esac
        shift || die "--domain needs a name"
    done
    if [ -f "$site" ]; then domain_before=$(sed -n 's/^\([^ #]*\) {$/\1/p;T;q' "$site"); fi
    domain=${domain:-$domain_before}
    [[ $domain =~ ^[A-Za-z0-9.-]*$ ]] || die "$domain is not the name of a domain"
    readonly domain domain_before dry_run uninstall
}

check_system() {
    [[ $home != *[[:space:]\|\&\\%]* ]] || die "the path $home has a character that cron or systemd would misread"
    [[ $home/ != /home/* && $home/ != /root/* ]] || die "the shop must not read home folders: move the checkout to /opt"
    command -v apt-get >/dev/null || die "this needs Debian or Ubuntu"
    # shellcheck source=/dev/null
    say system '' "$(. /etc/os-release && echo "$PRETTY_NAME"); the installation is $home"
}

# --- the program -------------------------------------------------------------------------------------------------

install_packages() {
    apt_install "${packages[@]}"
    report packages "installed: ${packages[*]}"
}

make_user() {
    if ! id "$user" >/dev/null 2>&1; then
        change useradd --system --user-group --home-dir "$home" --no-create-home --shell /usr/sbin/nologin "$user"
    fi
    report user "$user, who cannot log in"
}

# One environment for each content of the program: a command that is running keeps the one it began in.
make_environment() {
    local python name path
    if ! python=$(python3 -c 'import sys; print(*sys.version_info[:3], sep=".")' 2>/dev/null); then
        change build_environment
        report program "a virtual environment with this version"
        return
    fi
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || die "Python $python is too old: 3.11 or newer"
    for path in "${code[@]}"; do give root root "$path"; done
    if [ -e "$environments" ] && [ "$(stat -c '%F %U' "$environments")" != 'directory root' ]; then
        die "$environments is not a folder of root's: look what it is, and remove it"
    fi
    name=$({ echo "$python" && find downstream pyproject.toml -type f ! -name '*.pyc' -print0 | sort -z |
        xargs -0 sha256sum; } | sha256sum | cut -c1-12)
    if [ -f "$environments/$name/complete" ] && [ "$(readlink "$home/.venv")" = ".venvs/$name" ]; then
        remove_old_environments "$name"
    else
        # The one before stays until the next run: a command may be starting in it at this moment.
        if [ ! -f "$environments/$name/complete" ]; then change build_environment "$environments/$name"; fi
        change switch_to "$name"
    fi
    report program "version $name, in .venvs/$name"
}

build_environment() {
    local folder=$1 source=$work/source
    rm -rf "$folder" # cut off half way
    mkdir -p "$folder" "$source"
    # From a copy: building writes beside its source, and what an earlier build left there would be built in again.
    find downstream pyproject.toml README.md -name __pycache__ -prune -o -type f -print0 |
        tar --null -T - -c | tar -x -C "$source"
    quietly python3 -m venv "$folder"
    quietly "$folder/bin/python" -m pip install --no-cache-dir "$source"
    quietly "$folder/bin/downstream" --version
    sync -f "$folder"
    touch "$folder/complete"
}

switch_to() {
    if [ -d "$home/.venv" ] && [ ! -L "$home/.venv" ]; then # made by hand, for trying things out
        rm -rf "$environments/by-hand"
        mv -T "$home/.venv" "$environments/by-hand"
    fi
    ln -sfn ".venvs/$1" "$environments/next"
    mv -T "$environments/next" "$home/.venv"
}

# All but the one that is named, if any, and those that somebody works in.
remove_old_environments() {
    local folder
    for folder in "$environments"/*; do
        if [ ! -e "$folder" ] || [ "$folder" = "$environments/${1:-}" ]; then continue; fi
        if is_in_use "$folder"; then
            say '' left "$folder: commands still run in it; the next run removes it"
        else
            change rm -rf "$folder"
        fi
    done
}

# A program of the environment runs: its interpreter's path is in the command line, its libraries are mapped.
is_in_use() { grep -qsaF "$1/" /proc/[0-9]*/cmdline /proc/[0-9]*/maps; }

# Everything at or below $home/PATH belongs to OWNER.
give() {
    local path=$home/$3
    if [ -e "$path" ] && [ -n "$(find "$path" ! \( -user "$1" -group "$2" \) -print -quit)" ]; then
        change chown -hR "$1:$2" "$path"
    fi
}

# The user may make files in the installation's folder, as replacing HEARTBEAT.md needs, but the sticky bit keeps it
# from what is root's.
hand_out_folders() {
    local path is_new=no
    if [ ! -d "$home/logs/reviews" ]; then is_new=yes; fi
    if id "$user" >/dev/null 2>&1; then
        if [ "$(stat -c '%a %U %G' "$home")" != "1775 root $user" ]; then
            change chown "root:$user" "$home"
            change chmod 1775 "$home"
        fi
        as_user test -x "$home" || die "$user cannot get into $home: move the checkout to /opt"
        for path in "${data[@]}"; do give "$user" "$user" "$path"; done
    fi
    if [ "$is_new" = yes ]; then
        change quietly downstream init "$home"
        change quietly downstream heartbeat renew # a new installation is one that somebody looks after
    fi
    # A clone has some of them, open to all.
    find "$home"/{jobs,streams,logs,triggers} -maxdepth 1 -type d -perm /077 -print 2>/dev/null >"$work/open" || true
    while read -r path; do change as_user chmod 700 "$path"; done <"$work/open"
    report folders "jobs, streams, logs and triggers are for $user's eyes only"
}

write_settings() {
    local new=$work/env
    if ! "$home/.venv/bin/python" -I -c 'from downstream.installation import ENVIRONMENT; print(ENVIRONMENT, end="")' \
        >"$work/env.example" 2>/dev/null; then
        [ "$dry_run" = yes ] || die "the program does not start: see $home/.venv/bin/downstream --version"
        cp "$home/.env.example" "$work/env.example" # before there is a program
    fi
    put_for_user .env.example "$work/env.example" 644
    read_as_user .env >"$new" || cp "$work/env.example" "$new"
    if [ -n "$domain" ]; then
        # One that was written for the domain before moves with it; any other is the operator's.
        sed -i "s|^PUBLIC_URL=https://$domain_before\$|PUBLIC_URL=https://$domain|" "$new"
        if ! grep -Eq '^(export )?PUBLIC_URL *= *.' "$new"; then
            sed -i '/^PUBLIC_URL=$/d' "$new"
            echo "PUBLIC_URL=https://$domain" >>"$new"
        fi
    fi
    put_for_user .env "$new" 600
    report settings "$home/.env is yours; .env.example names everything it may say"
}

# --- what starts it ----------------------------------------------------------------------------------------------

readonly block_begin='# BEGIN downstream (setup_hetzner.sh writes these lines)' block_end='# END downstream'

# Stdin with our block, where it stood or else at the end, made to be what the file BLOCK holds.
with_block() {
    awk -v begin="$block_begin" -v end="$block_end" -v block="$1" '
        function write_block() { while ((getline line < block) > 0) print line; written = 1 }
        $0 == begin { write_block(); inside = 1 }
        !inside
        $0 == end { inside = 0 }
        END { if (!written) write_block() }'
}

# The user's crontab, with nothing of ours in it changed but our block.
change_crontab() {
    local before=$work/crontab.before after=$work/crontab.after
    crontab -u "$user" -l >"$before" 2>/dev/null || true
    if [ "$(grep -cxF "$block_begin" "$before")" != "$(grep -cxF "$block_end" "$before")" ]; then
        die "$user's crontab has only one end of our block: mend it with crontab -u $user -e"
    fi
    with_block "$1" <"$before" >"$after"
    if cmp -s "$before" "$after"; then return; fi
    if [ -s "$after" ]; then
        change crontab -u "$user" "$after"
    else
        change crontab -u "$user" -r
    fi
}

install_crontab() {
    read_as_user crontab.txt >"$work/crontab.txt" || die "crontab.txt cannot be read: git checkout crontab.txt"
    # What else stands there, such as where backups go, is the operator's.
    sed -i -e "s|/opt/downstream/\.venv/bin/|$home/.venv/bin/|g" \
        -e "s|^DOWNSTREAM_HOME=/opt/downstream\$|DOWNSTREAM_HOME=$home|" "$work/crontab.txt"
    if id "$user" >/dev/null 2>&1; then
        put_for_user crontab.txt "$work/crontab.txt" 644
    fi
    { echo "$block_begin" && cat "$work/crontab.txt" && echo "$block_end"; } >"$work/block"
    change_crontab "$work/block"
    start_unit cron.service
    report cron "the lines of crontab.txt are $user's; other lines of its crontab stay"
}

install_proxy() {
    if [ -z "$domain" ]; then
        say proxy none "the shop is at http://127.0.0.1:8000 only (see --domain)"
        return
    fi
    apt_install caddy
    put_template "$site" downstream.caddy
    import_site
    if [ "$did" = yes ] && [ "$dry_run" = no ]; then
        quietly caddy validate --adapter caddyfile --config /etc/caddy/Caddyfile
        if has_systemd; then systemctl reload-or-restart caddy.service; fi
    fi
    start_unit caddy.service
    report proxy "caddy serves https://$domain"
}

# The page that Debian's Caddyfile shows would be in the way of the redirection to https; anything else is somebody's.
import_site() {
    local file=/etc/caddy/Caddyfile line="import $site"
    if grep -qsxF "$line" "$file"; then return; fi
    if [ -f "$file" ] && ! is_as_packaged "$file" caddy; then
        { cat "$file" && echo; } >"$work/Caddyfile"
    fi
    echo "$line" >>"$work/Caddyfile"
    put "$file" "$work/Caddyfile"
}

# The configuration file PATH is the one that PACKAGE brought.
is_as_packaged() {
    dpkg-query --show --showformat '${Conffiles}' "$2" | grep -qF " $1 $(md5sum <"$1" | cut -d ' ' -f 1)"
}

install_service() {
    local path=/etc/systemd/system/$unit
    put_template "$path" downstream.service
    if has_systemd && [ "$did" = yes ]; then change systemctl daemon-reload; fi
    start_unit "$unit"
    if has_systemd && is_outdated; then change systemctl restart "$unit"; fi
    report shop "$unit serves it at http://127.0.0.1:8000"
}

# The shop runs another program, unit or settings than those that are here now.
is_outdated() {
    local process started changed
    process=$(systemctl show --property MainPID --value "$unit")
    if [ "$process" = 0 ] || [ ! -L "$home/.venv" ]; then return 1; fi
    if ! grep -qsaF "$home/$(readlink "$home/.venv")/" "/proc/$process/cmdline"; then return 0; fi
    started=$(systemctl show --timestamp unix --property ExecMainStartTimestamp --value "$unit")
    changed=$(stat -c %Y "/etc/systemd/system/$unit" "$home/.env" | sort -n | tail -n 1)
    [ "$changed" -gt "${started#@}" ]
}

# --- the house ---------------------------------------------------------------------------------------------------

install_rotation() {
    put_template /etc/logrotate.d/downstream downstream.logrotate
    report logs "rotated every week, and kept for half a year"
}

install_upgrades() {
    local on=''
    eval "$(apt-config shell on APT::Periodic::Unattended-Upgrade)"
    if [ "$on" != 1 ]; then
        printf 'APT::Periodic::%s "1";\n' Update-Package-Lists Unattended-Upgrade >"$work/20auto-upgrades"
        put /etc/apt/apt.conf.d/20auto-upgrades "$work/20auto-upgrades"
    fi
    report updates "security updates install themselves"
}

# Before its first connection sshd does not answer on some systems, so its files are asked too. A port may also stand
# behind an address, or with the socket that systemd opens for sshd; and this very connection came through one.
ssh_ports() {
    {
        sshd -T 2>/dev/null || cat /etc/ssh/sshd_config /etc/ssh/sshd_config.d/*.conf 2>/dev/null || true
        systemctl show --property Listen --value ssh.socket 2>/dev/null | sed 's/^/ListenAddress /' || true
        printf '%s\n' "${SSH_CONNECTION:+Port ${SSH_CONNECTION##* }}"
    } | awk '
        tolower($1) == "port" { print $2; found = 1 }
        tolower($1) == "listenaddress" && $2 ~ /(\]|^[^:]*):[0-9]+$/ { sub(/.*:/, "", $2); print $2; found = 1 }
        END { if (!found) print 22 }' | sort -nu
}

set_firewall() {
    local port wanted=()
    for port in $(ssh_ports); do wanted+=("$port/tcp"); done
    if [ -n "$domain" ]; then wanted+=(80/tcp 443/tcp 443/udp); fi
    for port in "${wanted[@]}"; do
        if ! grep -qsE "^### tuple ### (allow|limit) ${port#*/} ${port%/*} " /etc/ufw/user.rules; then
            change quietly ufw allow "$port"
        fi
    done
    if ! grep -qs '^ENABLED=yes' /etc/ufw/ufw.conf; then
        if has_systemd; then
            change quietly ufw --force enable
        else
            change sed -i 's/^ENABLED=no/ENABLED=yes/' /etc/ufw/ufw.conf
        fi
    fi
    if ! has_systemd; then idle+=(ufw.service); fi
    report firewall "open are ${wanted[*]}"
}

set_clock() {
    local other
    for other in chrony ntpsec openntpd; do
        if is_installed "$other"; then
            report clock "kept by $other"
            return
        fi
    done
    apt_install systemd-timesyncd
    start_unit systemd-timesyncd.service
    report clock "kept by systemd-timesyncd"
}

# What cron mails tells also of what the program itself cannot, such as a broken environment.
deliver_mail() {
    if [ ! -x /usr/sbin/sendmail ]; then apt_install dma; fi
    report mail "cron's mail is for $user, in /var/mail/$user"
}

install_command() {
    put_template /usr/local/bin/downstream downstream.sh 755
    report command "sudo downstream ... works on $home"
}

finish() {
    if [ "$dry_run" = yes ]; then
        echo 'Nothing was changed.'
        return
    fi
    echo
    downstream doctor || true
    printf '\nStill to do:\n'
    grep -q '^[A-Z]*_KEY=.' "$home/.env" || echo "  - Fill in $home/.env, then run this again"
    [ -n "$domain" ] || echo '  - Run this again with --domain NAME when a name leads here'
    [ ${#idle[@]} = 0 ] || echo "  - systemd does not run here, so these were not started: ${idle[*]}"
    cat <<TEXT
  - sudo downstream doctor, until nothing says FAIL; sudo downstream heartbeat renew, once a month
  - Read /var/mail/$user from time to time, or set OPERATOR_EMAIL and SMTP_URL
TEXT
}

# --- and away with it ----------------------------------------------------------------------------------------------

remove_all() {
    if id "$user" >/dev/null 2>&1; then change_crontab /dev/null; fi
    if [ -e "/etc/systemd/system/$unit" ]; then
        if has_systemd; then change systemctl stop "$unit"; fi
        change systemctl disable --quiet "$unit"
        remove "/etc/systemd/system/$unit"
    fi
    if has_systemd && [ "$did" = yes ]; then change systemctl daemon-reload; fi
    if [ -e "$site" ]; then
        grep -vxF "import $site" /etc/caddy/Caddyfile >"$work/Caddyfile" || true
        put /etc/caddy/Caddyfile "$work/Caddyfile"
        remove "$site"
        if has_systemd; then change systemctl reload-or-restart caddy.service; fi
    fi
    remove /etc/logrotate.d/downstream /usr/local/bin/downstream "$home/.venv"
    remove_old_environments
    if [ -d "$environments" ] && [ -z "$(ls -A "$environments")" ]; then change rmdir "$environments"; fi
    report uninstall "no lines of cron, service, site, log rotation, command and environment"
    say left '' "$home with jobs, streams, logs, triggers, HEARTBEAT.md and .env; the user $user; packages; the firewall"
    if [ "$dry_run" = yes ]; then echo 'Nothing was changed.'; fi
}

remove() {
    local path
    for path in "$@"; do
        if [ -e "$path" ] || [ -L "$path" ]; then change rm -f "$path"; fi
    done
}

work=$(mktemp -d)
readonly work
trap 'rm -rf "$work"' EXIT
main "$@"
