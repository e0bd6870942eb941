namespace Fleet.Kernel.Tests;

/// <summary>The devres row of kernel-model H.4, taken apart, and the corners of B.1.</summary>
[Trait("tier", "fast")]
public sealed class DevresTableTests
{
    private const int Fn = 1;
    private readonly Devres _devres = new();

    [Fact]
    public void Release_all_runs_last_registered_first()
    {
        RegisterTheTable();
        Assert.Equal([5, 4, 3, 2, 1], Ran(_devres.TakeAll()));
        Assert.True(_devres.IsEmpty);
    }

    [Fact]
    public void Release_group_runs_only_what_the_group_holds()
    {
        RegisterTheTable();
        var todo = _devres.TakeGroup("G");
        Assert.Equal(2, todo.Count);
        Assert.Equal([4, 3], Ran(todo));
        Assert.Equal([5, 2, 1], Ran(_devres.TakeAll()));
    }

    [Fact]
    public void Remove_group_keeps_what_the_group_held()
    {
        RegisterTheTable();
        Assert.Equal(DevresFault.None, _devres.RemoveGroup("G"));
        Assert.Equal([5, 4, 3, 2, 1], Ran(_devres.TakeAll()));
    }

    [Fact]
    public void Release_action_hands_one_out_now_and_release_all_runs_the_other_four()
    {
        RegisterTheTable();
        var take = _devres.ReleaseAction(Fn, null, 2);
        Assert.Equal(2, take.Node!.DataId);
        Assert.False(take.Node.IsLinked);
        Assert.Equal([5, 4, 3, 1], Ran(_devres.TakeAll()));
    }

    [Fact]
    public void Of_two_equal_actions_one_release_consumes_the_newer()
    {
        var older = _devres.AddAction(Fn, null, 7).Node!;
        var newer = _devres.AddAction(Fn, null, 7).Node!;
        Assert.Same(newer, _devres.ReleaseAction(Fn, null, 7).Node);
        Assert.Equal([older], _devres.Nodes);
    }

    [Fact]
    public void Both_function_and_data_must_match_and_data_objects_by_reference()
    {
        var data = new string('x', 3);
        _devres.AddAction(Fn, data);
        Assert.Equal(DevresFault.WarnNoMatch, _devres.RemoveAction(Fn + 1, data).Fault);
        Assert.Equal(DevresFault.WarnNoMatch, _devres.RemoveAction(Fn, new string('x', 3)).Fault);
        Assert.Equal(DevresFault.None, _devres.RemoveAction(Fn, data).Fault);
    }

    [Fact]
    public void A_failed_registration_registers_nothing_and_or_reset_hands_the_action_back_to_run()
    {
        Assert.Equal(new DevresAdd(Errno.ENOMEM, null), _devres.AddAction(Fn, null, 1, Allocation.Fails));
        var reset = _devres.AddActionOrReset(Fn, null, 2, Allocation.Fails);
        Assert.Equal((Errno.ENOMEM, 2L, false), (reset.Err, reset.Node!.DataId, reset.Node.IsLinked));
        Assert.True(_devres.IsEmpty);
    }

    [Fact]
    public void What_is_added_during_a_release_is_left_for_the_next()
    {
        _devres.AddAction(Fn, null, 1);
        _devres.AddAction(Fn, null, 2);
        var todo = _devres.TakeAll();
        Assert.True(todo.TryNext(out var node));
        _devres.AddAction(Fn, null, node.DataId + 100);
        Assert.Equal(DevresFault.WarnNoMatch, _devres.ReleaseAction(Fn, null, 1).Fault);
        Assert.Equal([1], Ran(todo));
        Assert.Equal([102], Ran(_devres.TakeAll()));
    }

    [Fact]
    public void Managed_memory_is_freed_at_its_own_place_and_counts()
    {
        var memory = new object();
        _devres.AddAction(Fn, null, 1);
        _devres.Kmalloc(memory);
        _devres.AddAction(Fn, null, 3);
        var todo = _devres.TakeAll();
        Assert.Equal(3, todo.Count);
        todo.TryNext(out _);
        todo.TryNext(out var node);
        Assert.Equal(DevresKind.Kmalloc, node!.Kind);
        Assert.Same(memory, node.Data);
    }

    [Fact]
    public void Kfree_of_what_is_not_there_warns()
    {
        var memory = new object();
        _devres.Kmalloc(memory);
        Assert.Equal(DevresFault.None, _devres.Kfree(memory).Fault);
        Assert.Equal(DevresFault.WarnNoMatch, _devres.Kfree(memory).Fault);
    }

    [Fact]
    public void An_entry_is_added_once_and_freed_only_off_the_list()
    {
        var node = Devres.Alloc(Fn)!;
        Assert.Null(Devres.Alloc(Fn, allocation: Allocation.Fails));
        Assert.Equal(DevresFault.None, _devres.Add(node));
        Assert.Equal(DevresFault.BugAlreadyLinked, _devres.Add(node));
        Assert.Equal(DevresFault.BugFreedLinked, Devres.Free(node));
        Assert.Same(node, _devres.Remove(Fn));
        Assert.Equal(DevresFault.None, Devres.Free(node));
    }

    // Goal: an entry that is refused changes nothing, and one that was taken off can be added again as the newest.
    [Fact]
    public void An_entry_keeps_its_number_when_it_is_refused_and_gets_another_when_it_is_added_again()
    {
        var (one, two) = (Devres.Alloc(Fn)!, Devres.Alloc(Fn, dataId: 2)!);
        _devres.Add(one);
        Assert.Equal(DevresFault.BugAlreadyLinked, _devres.Add(one));
        Assert.Equal(0, one.Id);
        _devres.Add(two);
        Assert.Equal(1, two.Id);
        Assert.Same(one, _devres.Remove(Fn, node => node.DataId == 0));
        Assert.Equal(DevresFault.None, _devres.Add(one));
        Assert.Equal([two, one], _devres.Nodes);
        Assert.Equal(2, one.Id);
        Assert.Same(two, _devres.Remove(Fn, node => node.DataId == 2));
        Assert.Equal([one], _devres.Nodes);
        _devres.Reset();
        Assert.Empty(_devres.Nodes);
    }

    [Fact]
    public void Closing_a_closed_group_by_its_id_is_a_bug()
    {
        _devres.OpenGroup("G");
        Assert.Equal(DevresFault.None, _devres.CloseGroup("G"));
        Assert.Equal(DevresFault.BugAlreadyLinked, _devres.CloseGroup("G"));
        Assert.Equal(DevresFault.WarnNoGroup, _devres.CloseGroup());
    }

    [Fact]
    public void A_list_that_was_never_initialised_is_warned_about()
    {
        var todo = new Devres(DevresHead.Uninitialised).TakeAll();
        Assert.Equal((Errno.ENODEV, DevresFault.WarnUninitialised), (todo.Err, todo.Fault));
    }

    [Fact]
    public void Nodes_are_numbered_in_the_order_of_registration_and_the_digest_follows_the_list()
    {
        RegisterTheTable();
        var five = _devres.Nodes.Last();
        Assert.Equal((6, 5L), (five.Id, five.DataId));
        var before = Digest(_devres);
        _devres.RemoveAction(Fn, null, 5);
        Assert.NotEqual(before, Digest(_devres));
        _devres.Reset();
        RegisterTheTable();
        Assert.Equal(before, Digest(_devres));
    }

    [Fact]
    public void An_entry_that_was_never_added_has_no_number() => Assert.Equal(-1, Devres.Alloc(Fn)!.Id);

    // Goal: a state that can go on differently has another digest.
    // Method: lists that differ in exactly one of: kind, function, data, number, order.
    [Fact]
    public void The_digest_tells_lists_apart_that_differ_in_one_thing()
    {
        Devres With(Action<Devres> fill)
        {
            var list = new Devres();
            fill(list);
            return list;
        }

        Devres[] lists =
        [
            With(list => list.AddAction(0, null, 3)),
            With(list => list.AddResource(0, null, 3)),
            With(list => list.Kmalloc(null, 3)),
            With(list => list.AddAction(1, null, 3)),
            With(list => list.AddAction(0, null, 4)),
            With(list => { list.AddAction(0, null, 4); list.AddAction(0, null, 3); list.RemoveAction(0, null, 4); }),
            With(list => { list.AddAction(0, null, 4); list.AddAction(0, null, 3); }),
            With(list => { list.AddAction(0, null, 3); list.AddAction(0, null, 4); }),
            With(list => list.OpenGroup("G")),
            With(list => { list.OpenGroup("G"); list.CloseGroup("G"); }),
        ];
        Assert.Equal(lists.Length, lists.Select(Digest).Distinct().Count());
    }

    [Fact]
    public void The_digest_of_a_release_in_progress_follows_what_is_left()
    {
        RegisterTheTable();
        var todo = _devres.TakeAll();
        var digests = new HashSet<ulong>();
        do
        {
            digests.Add(Digest(todo));
        }
        while (todo.TryNext(out _));

        Assert.Equal(6, digests.Count);
        Assert.Contains(StateHash.Seed, digests);
    }

    private static List<long> Ran(DevresTodo todo)
    {
        var ran = new List<long>();
        while (todo.TryNext(out var node))
        {
            ran.Add(node.DataId);
        }

        Assert.True(todo.IsEmpty);
        return ran;
    }

    private void RegisterTheTable()
    {
        _devres.AddAction(Fn, null, 1);
        _devres.AddAction(Fn, null, 2);
        _devres.OpenGroup("G");
        _devres.AddAction(Fn, null, 3);
        _devres.AddAction(Fn, null, 4);
        _devres.CloseGroup("G");
        _devres.AddAction(Fn, null, 5);
    }

    private static ulong Digest(Devres list)
    {
        var hash = StateHash.Seed;
        list.HashInto(ref hash);
        return hash;
    }

    private static ulong Digest(DevresTodo todo)
    {
        var hash = StateHash.Seed;
        todo.HashInto(ref hash);
        return hash;
    }
}
