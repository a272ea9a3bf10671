"""Lets dovecot read the mailboxes of a Maildir: how many messages there are, their flags and their subjects."""

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
    shutil.copytree(sys.argv[1], root)
    os.chmod(folder, 0o755)
    for above, _, files in os.walk(folder):
        for path in [above, *(os.path.join(above, name) for name in files)]:
            os.chown(path, user.pw_uid, user.pw_gid)
    version = subprocess.run(["dovecot", "--version"], capture_output=True, text=True, check=True).stdout
    configuration = os.path.join(folder, "dovecot.conf")
    if version.startswith(("2.4", "2.5")):
        storage = f"mail_driver = maildir\nmail_path = {root}\nmailbox_list_layout = fs\nmail_index_path = {folder}/index\n"
        head = "dovecot_config_version = 2.4.0\ndovecot_storage_version = 2.4.0\n"
    else:
        storage, head = f"mail_location = maildir:{root}:LAYOUT=fs:INDEX={folder}/index:CONTROL={folder}/control\n", ""
    with open(configuration, "w", encoding="utf-8") as file:
        file.write(
            head
            + storage
            + f"base_dir = {folder}/run\nlog_path = {folder}/log\nfirst_valid_uid = 0\nfirst_valid_gid = 0\n"
            + f"default_internal_user = {user.pw_name}\ndefault_login_user = {user.pw_name}\nssl = no\n"
            + f"mail_uid = {user.pw_uid}\nmail_gid = {user.pw_gid}\nmail_home = {folder}\n"
        )
    environment = os.environ | {"USER": user.pw_name, "HOME": folder}

    def doveadm(*arguments):
        command = ["doveadm", "-c", configuration, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=environment, check=False)
        if done.returncode:
            log = os.path.join(folder, "log")
            sys.exit(f"{command}: {done.stderr}{open(log).read() if os.path.exists(log) else ''}")
        return done.stdout

    for name in sorted(doveadm("mailbox", "list").splitlines()):
        print(name)
        print(doveadm("-f", "tab", "fetch", "flags hdr.subject size.physical", "mailbox", name).strip())
