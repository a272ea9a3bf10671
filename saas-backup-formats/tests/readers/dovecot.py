"""Lets dovecot read the mailboxes of a Maildir, or an mbox.

    dovecot.py MAILBOX        how many messages there are, their flags and their subjects
    dovecot.py MAILBOX PART   the SHA-256 of a part of the only message, decoded
"""

import hashlib
import os
import pwd
import shutil
import subprocess
import sys
import tempfile

# Dovecot reads no mail as root.
user = pwd.getpwnam("nobody") if os.getuid() == 0 else pwd.getpwuid(os.getuid())
with tempfile.TemporaryDirectory() as folder:
    root = os.path.join(folder, "mail")
    if os.path.isdir(sys.argv[1]):
        # A message may be too large to have it twice.
        shutil.copytree(sys.argv[1], root, copy_function=os.link)
        driver, place = "maildir", f"{root}:LAYOUT=fs"
    else:
        os.mkdir(root)
        os.link(sys.argv[1], os.path.join(root, "inbox"))
        driver, place = "mbox", f"{root}:INBOX={root}/inbox"
    os.chmod(folder, 0o755)
    for above, _, files in os.walk(folder):
        for path in [above, *(os.path.join(above, name) for name in files)]:
            os.chown(path, user.pw_uid, user.pw_gid)
    version = subprocess.run(["dovecot", "--version"], capture_output=True, text=True, check=True).stdout
    configuration = os.path.join(folder, "dovecot.conf")
    if version.startswith(("2.4", "2.5")):
        storage = f"mail_driver = {driver}\nmail_path = {root}\nmailbox_list_layout = fs\nmail_index_path = {folder}/index\n"
        if driver == "mbox":
            storage += f"mail_inbox_path = {root}/inbox\n"
        head = "dovecot_config_version = 2.4.0\ndovecot_storage_version = 2.4.0\n"
    else:
        storage, head = f"mail_location = {driver}:{place}:INDEX={folder}/index:CONTROL={folder}/control\n", ""
    with open(configuration, "w", encoding="utf-8") as file:
        file.write(
            head
            + storage
            + f"base_dir = {folder}/run\nlog_path = {folder}/log\nfirst_valid_uid = 0\nfirst_valid_gid = 0\n"
            + f"default_internal_user = {user.pw_name}\ndefault_login_user = {user.pw_name}\nssl = no\n"
            + f"mail_uid = {user.pw_uid}\nmail_gid = {user.pw_gid}\nmail_home = {folder}\n"
        )
    environment = os.environ | {"USER": user.pw_name, "HOME": folder}

    def ended(command, code, errors):
        if code:
            log = os.path.join(folder, "log")
            sys.exit(f"{command}: {errors}{open(log).read() if os.path.exists(log) else ''}")

    def doveadm(*arguments):
        command = ["doveadm", "-c", configuration, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=environment, check=False)
        ended(command, done.returncode, done.stderr)
        return done.stdout

    def part(number):
        command = ["doveadm", "-c", configuration, "-f", "pager", "fetch", f"binary.{number}", "mailbox", "*"]
        doing = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
        title = doing.stdout.readline()
        digest = hashlib.file_digest(doing.stdout, "sha256").hexdigest()
        ended(command, doing.wait(), doing.stderr.read())
        assert title == f"binary.{number}:\n".encode(), title
        return digest

    if len(sys.argv) > 2:
        print(part(sys.argv[2]))
        sys.exit()
    for name in sorted(doveadm("mailbox", "list").splitlines()):
        print(name)
        print(doveadm("-f", "tab", "fetch", "flags hdr.subject size.physical", "mailbox", name).strip())
