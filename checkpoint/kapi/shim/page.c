// SPDX-License-Identifier: GPL-2.0
/* Pages, folios and page table entries. */
#include <linux/checkpoint.h>
#include <linux/leafops.h>
#include <linux/pagemap.h>

bool ckpt_page_zero(struct page *page)
{
	return is_zero_page(page) || is_huge_zero_folio(page_folio(page));
}

bool ckpt_page_anon(struct page *page)
{
	return folio_test_anon(page_folio(page));
}

/*
 * May a page be that of other address spaces, too? One in the swap cache may be in
 * their page tables as what is swapped out, unless it is exclusive.
 */
bool ckpt_page_maybe_common(struct page *page)
{
	struct folio *folio = page_folio(page);

	if (PageAnonExclusive(page))
		return false;
	return folio_maybe_mapped_shared(folio) || folio_test_swapcache(folio);
}

void ckpt_put_page(struct page *page)
{
	put_page(page);
}

void ckpt_get_page(struct page *page, int nr)
{
	folio_ref_add(page_folio(page), nr);
}

void *ckpt_page_address(struct page *page)
{
	return page_address(page);
}

void ckpt_release_pages(struct page **pages, int nr)
{
	release_pages(pages, nr);
}

bool ckpt_pmd_is_table(pmd_t *pmd)
{
	pmd_t value = pmdp_get_lockless(pmd);

	return pmd_present(value) && !pmd_leaf(value);
}

bool ckpt_pte_is_guard(pte_t *pte)
{
	return softleaf_is_guard_marker(softleaf_from_pte(ptep_get(pte)));
}

bool ckpt_pte_is_present(pte_t *pte)
{
	return pte_present(ptep_get(pte));
}

bool ckpt_pte_is_none(pte_t *pte)
{
	return pte_none(ptep_get(pte));
}

void ckpt_page_dirty(struct page *page)
{
	set_page_dirty_lock(page);
}

/* Charged to the task that is saved, which must not be killed for it when there is none. */
struct page *ckpt_alloc_page(void)
{
	return alloc_page(GFP_KERNEL_ACCOUNT | __GFP_RETRY_MAYFAIL | __GFP_NOWARN);
}

/* As a pipe has them, with zeros around what will be in it. */
struct page *ckpt_alloc_pipe_page(void)
{
	return alloc_page(GFP_HIGHUSER | __GFP_ACCOUNT | __GFP_ZERO);
}

void ckpt_copy_highpage(struct page *to, struct page *from)
{
	copy_highpage(to, from);
}

struct page *ckpt_folio_page(struct folio *folio, pgoff_t index)
{
	return folio_file_page(folio, index);
}

pgoff_t ckpt_folio_end(struct folio *folio)
{
	return folio_next_index(folio);
}

bool ckpt_folio_is_lost(struct folio *folio)
{
	return folio_contain_hwpoisoned_page(folio);
}

void ckpt_folio_put(struct folio *folio)
{
	folio_put(folio);
}
