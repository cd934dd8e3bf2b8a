// SPDX-License-Identifier: GPL-2.0
/* Local sockets. */
#include <linux/checkpoint.h>
#include <linux/net.h>
#include <linux/pidfs.h>
#include <linux/security.h>
#include <linux/skbuff.h>
#include <net/af_unix.h>
#include <net/busy_poll.h>
#include <net/sock.h>

#include "../../../net/unix/af_unix.h"

/* With a reference; NULL for another file */
struct sock *ckpt_unix_sock(struct file *file)
{
	struct socket *sock = sock_from_file(file);

	if (!sock || !sock->sk || !sk_is_unix(sock->sk))
		return NULL;
	sock_hold(sock->sk);
	return sock->sk;
}

struct sock *ckpt_unix_peer(struct sock *sk)
{
	return unix_peer_get(sk);
}

void ckpt_sock_hold(struct sock *sk)
{
	sock_hold(sk);
}

void ckpt_sock_put(struct sock *sk)
{
	sock_put(sk);
}

bool ckpt_sock_is_closed(struct sock *sk)
{
	return sock_flag(sk, SOCK_DEAD);
}

static u64 ckpt_sock_time(long timeo)
{
	return timeo == MAX_SCHEDULE_TIMEOUT ? U64_MAX :
	       timeo >= nsecs_to_jiffies64(S64_MAX) ? S64_MAX :
	       jiffies64_to_nsecs(timeo);
}

void ckpt_sock_get(struct sock *sk, struct ckpt_socket *to)
{
	struct user_namespace *ns = current_user_ns();

	unix_state_lock(sk);
	to->type = sk->sk_type;
	to->state = sk->sk_state;
	to->shutdown = sk->sk_shutdown;
	to->error = sk->sk_err;
	unix_state_unlock(sk);
	to->sndbuf = READ_ONCE(sk->sk_sndbuf);
	to->rcvbuf = READ_ONCE(sk->sk_rcvbuf);
	to->buf_lock = READ_ONCE(sk->sk_userlocks) & SOCK_BUF_LOCK_MASK;
	to->rcvlowat = READ_ONCE(sk->sk_rcvlowat);
	to->peek_off = READ_ONCE(sk->sk_peek_off);
	to->rcvtimeo = ckpt_sock_time(READ_ONCE(sk->sk_rcvtimeo));
	to->sndtimeo = ckpt_sock_time(READ_ONCE(sk->sk_sndtimeo));
	to->keepalive = sock_flag(sk, SOCK_KEEPOPEN);
	to->oobinline = sock_flag(sk, SOCK_URGINLINE);
	to->broadcast = sock_flag(sk, SOCK_BROADCAST);
	to->passcred = sk->sk_scm_credentials;
	to->passsec = sk->sk_scm_security;
	to->passpidfd = sk->sk_scm_pidfd;
	to->passrights = sk->sk_scm_rights;
	to->inq = READ_ONCE(unix_sk(sk)->recvmsg_inq);
	to->notrunc = READ_ONCE(unix_sk(sk)->scm_rights_notrunc);
	read_lock_bh(&sk->sk_callback_lock);
	if (sk->sk_socket) {
		to->mode = SOCK_INODE(sk->sk_socket)->i_mode;
		to->uid = from_kuid_munged(ns, SOCK_INODE(sk->sk_socket)->i_uid);
		to->gid = from_kgid_munged(ns, SOCK_INODE(sk->sk_socket)->i_gid);
	}
	read_unlock_bh(&sk->sk_callback_lock);
}

/* Bound, listening, or accepted by one that is */
bool ckpt_unix_is_named(struct sock *sk)
{
	return smp_load_acquire(&unix_sk(sk)->addr);
}

/* By socketpair(2) or a connection; a socket that sends datagrams does not tell */
bool ckpt_unix_was_connected(struct sock *sk)
{
	guard(spinlock)(&sk->sk_peer_lock);
	return sk->sk_peer_cred;
}

bool ckpt_sock_is_filtered(struct sock *sk)
{
	return rcu_access_pointer(sk->sk_filter) ||
	       sock_flag(sk, SOCK_FILTER_LOCKED);
}

/* By a map of sockets */
bool ckpt_sock_is_redirected(struct sock *sk)
{
	return READ_ONCE(sk->sk_prot) != sk->sk_prot_creator ||
	       READ_ONCE(sk->sk_user_data);
}

bool ckpt_sock_is_elsewhere(struct sock *sk)
{
	return sock_net(sk) != current->nsproxy->net_ns;
}

/* Any that a new socket does not have, and struct ckpt_socket neither */
bool ckpt_sock_has_options(struct sock *sk)
{
	const unsigned long known = BIT(SOCK_ZAPPED) | BIT(SOCK_KEEPOPEN) |
				    BIT(SOCK_URGINLINE) | BIT(SOCK_BROADCAST);

#ifdef CONFIG_NET_RX_BUSY_POLL
	if (READ_ONCE(sk->sk_ll_usec) != READ_ONCE(sysctl_net_busy_read) ||
	    READ_ONCE(sk->sk_prefer_busy_poll) ||
	    READ_ONCE(sk->sk_busy_poll_budget))
		return true;
#endif
#ifdef CONFIG_BPF_SYSCALL
	if (rcu_access_pointer(sk->sk_bpf_storage))
		return true;
#endif
	return (sk->sk_flags & ~known) || READ_ONCE(sk->sk_priority) ||
	       READ_ONCE(sk->sk_mark) || READ_ONCE(sk->sk_bound_dev_if) ||
	       sk->sk_reuse || sk->sk_reuseport || sk->sk_no_check_tx ||
	       READ_ONCE(sk->sk_tsflags) || READ_ONCE(sk->sk_reserved_mem) ||
	       READ_ONCE(sk->sk_max_pacing_rate) != ~0UL ||
	       READ_ONCE(sk->sk_incoming_cpu) != -1 ||
	       !skb_queue_empty_lockless(&sk->sk_error_queue);
}

bool ckpt_unix_has_oob(struct sock *sk)
{
#if IS_ENABLED(CONFIG_AF_UNIX_OOB)
	return READ_ONCE(unix_sk(sk)->oob_skb);
#else
	return false;
#endif
}

/*
 * The process that has made the pair, 0 when it has been waited for. True when
 * its ids were those that the current task has.
 */
bool ckpt_sock_creator(struct sock *sk, u32 *nr)
{
	const struct cred *cred = current_cred(), *old;
	struct pid *pid;

	guard(spinlock)(&sk->sk_peer_lock);
	pid = sk->sk_peer_pid;
	old = sk->sk_peer_cred;
	scoped_guard(rcu)
		*nr = pid && pid_task(pid, PIDTYPE_TGID) ? pid_vnr(pid) : 0;
	return old && uid_eq(old->euid, cred->euid) &&
	       gid_eq(old->egid, cred->egid) &&
	       old->user_ns == cred->user_ns &&
	       old->group_info->ngroups == cred->group_info->ngroups &&
	       !memcmp(old->group_info->gid, cred->group_info->gid,
		       array_size(old->group_info->ngroups, sizeof(kgid_t)));
}

/* Of a new pair, which nobody else has: a process, or none with NULL */
int ckpt_sock_set_creator(struct file *file, struct pid *pid)
{
	struct sock *sk = sock_from_file(file)->sk;
	int err = pidfs_register_pid(pid);

	if (err)
		return err;
	get_pid(pid);
	scoped_guard(spinlock, &sk->sk_peer_lock)
		swap(sk->sk_peer_pid, pid);
	put_pid(pid);
	return 0;
}

void ckpt_sock_lock_queue(struct sock *sk)
{
	spin_lock(&sk->sk_receive_queue.lock);
}

void ckpt_sock_unlock_queue(struct sock *sk)
{
	spin_unlock(&sk->sk_receive_queue.lock);
}

u32 ckpt_sock_queue_len(struct sock *sk)
{
	return skb_queue_len_lockless(&sk->sk_receive_queue);
}

/* The message behind @last, or the first one; under the lock of the queue */
struct sk_buff *ckpt_sock_queued(struct sock *sk, struct sk_buff *last)
{
	return last ? skb_peek_next(last, &sk->sk_receive_queue) :
		      skb_peek(&sk->sk_receive_queue);
}

struct sk_buff *ckpt_skb_hold(struct sk_buff *skb)
{
	return skb_get(skb);
}

void ckpt_skb_put(struct sk_buff *skb)
{
	consume_skb(skb);
}

u32 ckpt_skb_len(struct sk_buff *skb)
{
	return skb->len;
}

u32 ckpt_unix_consumed(struct sk_buff *skb)
{
	return READ_ONCE(UNIXCB(skb).consumed);
}

bool ckpt_unix_has_files(struct sk_buff *skb)
{
	return READ_ONCE(UNIXCB(skb).fp);
}

bool ckpt_unix_has_creds(struct sk_buff *skb)
{
	return READ_ONCE(UNIXCB(skb).pid);
}

/* As socketpair(2) makes them, without files */
int ckpt_socket_pair(u32 type, struct socket *ends[2])
{
	int err = sock_create(AF_UNIX, type, 0, &ends[0]);

	if (err < 0)
		return err;
	err = sock_create(AF_UNIX, type, 0, &ends[1]);
	if (err < 0)
		goto no_second;
	err = security_socket_socketpair(ends[0], ends[1]);
	if (!err)
		err = READ_ONCE(ends[0]->ops)->socketpair(ends[0], ends[1]);
	if (!err)
		return 0;
	sock_release(ends[1]);
no_second:
	sock_release(ends[0]);
	return err;
}

int ckpt_socket_set(struct file *file, int option, void *value, int len)
{
	return do_sock_setsockopt(sock_from_file(file), false, SOL_SOCKET,
				  option, KERNEL_SOCKPTR(value), len);
}

/* Never waits */
int ckpt_socket_send(struct file *file, void *bytes, size_t len)
{
	struct msghdr msg = { .msg_flags = MSG_DONTWAIT | MSG_NOSIGNAL };
	struct kvec vec = { .iov_base = bytes, .iov_len = len };

	return kernel_sendmsg(sock_from_file(file), &msg, &vec, 1, len);
}

int ckpt_socket_shutdown(struct file *file, int how)
{
	return kernel_sock_shutdown(sock_from_file(file), how);
}
