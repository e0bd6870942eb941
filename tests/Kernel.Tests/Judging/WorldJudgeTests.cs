using Fleet.Kernel.History;
using Fleet.Kernel.Host;
using Fleet.Kernel.Judging;
using Fleet.Kernel.Memremap;
using Fleet.Kernel.P2pdma;
using Fleet.Kernel.Profiles;

namespace Fleet.Kernel.Tests.Judging;

// Goal: each rule that no kernel of the matrix breaks is broken by a planted one, and not by its clean twin.
// Method: the judge hears of two resources and of what a client does, once as it must be and once with one thing wrong.
[Trait("tier", "fast")]
public sealed class WorldJudgeTests
{
    private const ulong Page = DevPagemap.PageBytes;

    private readonly PciDevice _device = new();
    private readonly P2pPool _pool = new();
    private readonly WorldJudge _judge;
    private readonly P2pPagemap[] _added;

    public WorldJudgeTests()
    {
        _judge = new(KernelProfile.Default, _device);
        _added = [Resource(0, 1 << 20), Resource(1, 2 << 20)];
        _pool.Create(GenPoolArithmetic.Bits64);
        _judge.Emit(new KernelEvent(EventKind.FieldSet));
        foreach (var one in _added)
        {
            _pool.Pool.AddOwner(one.Map.StartAddress, one.Map.StartAddress, one.Map.SizeBytes, one.OwnRef);
            _judge.Emit(new KernelEvent(EventKind.MapStore, one.Map));
            _judge.Emit(new KernelEvent(EventKind.ChunkAdd, null, one.OwnRef)
            {
                Start = one.Map.StartAddress,
                SizeBytes = one.Map.SizeBytes,
            });
        }
    }

    private ulong Newest => _added[1].Map.StartAddress;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void An_alloc_comes_from_the_lowest_place_of_the_newest_chunk(bool planted)
    {
        Alloc(planted ? Newest + Page : Newest, _added[1].OwnRef);
        Expect(planted, KernelRule.SelectRule);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void An_alloc_that_nobody_disturbs_fails_only_for_want_of_room(bool planted)
    {
        var sizeBytes = planted ? 2 * Page : 3 * Page;
        _judge.Emit(new KernelEvent(EventKind.AllocBegin, null, _pool) { SizeBytes = sizeBytes });
        _judge.Emit(new KernelEvent(EventKind.AllocEnd, null, _pool) { SizeBytes = sizeBytes, Err = Errno.ENOMEM });
        Expect(planted, KernelRule.SpuriousNullAllowed);
    }

    // Goal: the same refusal is allowed where another operation overlapped.
    [Fact]
    public void An_alloc_that_somebody_disturbs_may_fail()
    {
        _judge.Emit(new KernelEvent(EventKind.AllocBegin, null, _pool) { SizeBytes = Page });
        _judge.Actor = 1;
        _judge.Emit(new KernelEvent(EventKind.FreeBegin, null, _pool) { Start = Newest, SizeBytes = Page });
        _judge.Actor = 0;
        _judge.Emit(new KernelEvent(EventKind.AllocEnd, null, _pool) { SizeBytes = Page, Err = Errno.ENOMEM });
        Assert.True(_judge.Broken.IsEmpty);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void What_is_free_is_what_no_bit_says_is_taken(bool planted)
    {
        var taken = _pool.Pool.AllocOwner(Page);
        if (planted)
        {
            _pool.Pool.Newest!.AddAvail((long)Page);
        }

        _judge.Emit(new KernelEvent(EventKind.PoolDestroy, null, _pool));
        Assert.True(taken.Succeeded);
        Expect(planted, KernelRule.AvailQuiescent);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void An_alloc_tells_the_owner_that_its_chunk_was_added_with(bool planted)
    {
        Alloc(Newest, _added[planted ? 0 : 1].OwnRef, pinned: _added[1].OwnRef);
        Expect(planted, KernelRule.OwnerRoundtrip);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_free_tells_the_owner_that_its_chunk_was_added_with(bool planted)
    {
        Free(Alloc(Newest, _added[1].OwnRef), told: _added[planted ? 0 : 1].OwnRef, put: _added[1].OwnRef);
        Expect(planted, KernelRule.OwnerRoundtrip);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void An_alloc_pins_the_resource_that_its_memory_lies_in(bool planted)
    {
        Alloc(Newest, _added[1].OwnRef, pinned: _added[planted ? 0 : 1].OwnRef);
        Expect(planted, KernelRule.AllocPinsItsResource);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_free_puts_the_resource_that_its_memory_lies_in(bool planted)
    {
        Free(Alloc(Newest, _added[1].OwnRef), told: _added[1].OwnRef, put: _added[planted ? 0 : 1].OwnRef);
        Expect(planted, KernelRule.AllocPinsItsResource);
    }

    [Fact]
    public void A_free_puts_its_reference_after_the_pool_has_the_memory()
    {
        var allocation = Alloc(Newest, _added[1].OwnRef);
        _judge.Emit(new KernelEvent(EventKind.RefPut, _added[1].OwnRef));
        FreeInPool(allocation, _added[1].OwnRef);
        _judge.FreeReturned(allocation);
        Expect(true, KernelRule.AllocPinsItsResource);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void No_alloc_that_finds_the_field_cleared_succeeds(bool planted)
    {
        if (!planted)
        {
            _judge.Emit(new KernelEvent(EventKind.FieldRead) { Fn = "test" });
        }

        _judge.Emit(new KernelEvent(EventKind.FieldClear));
        if (planted)
        {
            _judge.Emit(new KernelEvent(EventKind.FieldRead) { Fn = "test" });
        }

        Alloc(Newest, _added[1].OwnRef);
        Expect(planted, KernelRule.NoAllocAfterClear);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Memory_is_published_only_while_the_field_is_set(bool planted)
    {
        _judge.Emit(new KernelEvent(EventKind.FieldRead) { Fn = "published", Count = planted ? 1 : 0 });
        Expect(planted, KernelRule.PublishedImpliesSetup);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_registration_that_fails_runs_its_function_before_it_returns(bool planted)
    {
        _judge.Emit(new KernelEvent(EventKind.ActionAddFailed, null, _added[1])
        {
            Text = "action",
            Fn = DevresFns.WireName(DevresFn.MemremapRelease),
        });
        if (!planted)
        {
            _judge.Emit(new KernelEvent(EventKind.TeardownEnd, null, _added[1].Map));
        }

        _judge.Emit(new KernelEvent(EventKind.AddResourceEnd) { Err = Errno.ENOMEM });
        Expect(planted, KernelRule.OrReset);
    }

    private static P2pPagemap Resource(int index, ulong address) =>
        new(index, new PciBar(2 * index, true, address, 2 * Page), address, 2 * Page);

    private P2pAllocation Alloc(ulong address, RefObject owner, RefObject? pinned = null)
    {
        _judge.Emit(new KernelEvent(EventKind.AllocBegin, null, _pool) { SizeBytes = Page });
        _judge.Emit(new KernelEvent(EventKind.AllocEnd, null, _pool) { Start = address, SizeBytes = Page });
        Pin(pinned ?? owner);
        var allocation = new P2pAllocation(address, Page, owner, _pool);
        _judge.AllocReturned(new(allocation, Errno.OK, owner), Page, expectsRoom: false);
        return allocation;
    }

    private void Free(P2pAllocation allocation, RefObject told, RefObject put)
    {
        FreeInPool(allocation, told);
        _judge.Emit(new KernelEvent(EventKind.RefPut, put));
        _judge.FreeReturned(allocation);
    }

    private void FreeInPool(P2pAllocation allocation, RefObject told)
    {
        _judge.Emit(new KernelEvent(EventKind.FreeBegin, null, _pool) { Start = allocation.Address, SizeBytes = Page });
        _judge.Emit(new KernelEvent(EventKind.FreeEnd, null, told) { Start = allocation.Address, SizeBytes = Page });
    }

    private void Expect(bool planted, KernelRule rule) =>
        Assert.Equal(planted ? RuleSet.Of(rule) : RuleSet.Empty, _judge.Broken);

    private void Pin(RefObject target)
    {
        target.PlaceHere(new RcuDomain(), _judge);
        target.BeginLife();
        _judge.Emit(new KernelEvent(EventKind.RefTrygetLive, target) { Count = (long)target.Count!.ReadFlags() });
    }
}
