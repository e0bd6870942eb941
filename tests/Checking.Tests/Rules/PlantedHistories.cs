using Fleet.Kernel;
using Fleet.Kernel.History;

namespace Fleet.Checking.Tests.Rules;

/// <summary>For each rule a history that breaks it, and a twin that looks as dangerous and is legal.</summary>
internal static class PlantedHistories
{
    /// <summary>Rule, what the pair is about, the broken one, its clean twin.</summary>
    public static readonly (string Rule, string About, Func<World> Broken, Func<World> Clean)[] All =
    [
        ("REAP-BEFORE-REMOVE", "free after the removal, or as what ends the wait", RemovedWhileHeld, FreeEndsTheWait),
        ("REAP-BEFORE-REMOVE", "removed while held, or fenced", RemovedWhileHeld, FencedWhileHeld),
        ("REAP-BEFORE-REMOVE", "pinned when the memory goes, or put before", () => Pinned(putFirst: false),
            () => Pinned(putFirst: true)),
        ("NO-USE-AFTER-REMOVE", "access after or just before the removal", () => AccessAfterRemove(freed: false),
            AccessBeforeRemove),
        ("NO-USE-AFTER-REMOVE", "removed, and added again in a new life", () => AccessAfterRemove(freed: false),
            AccessInNewLife),
        ("TAG-MISMATCH", "another's tag, or a write nobody answered", () => ReadsBack(0xBAD, unanswered: 0),
            () => ReadsBack(0xBAD, unanswered: 0xBAD)),
        ("NO-OVERLAP", "overlaps a live one, or one just freed", () => SameAddress(freed: false),
            () => SameAddress(freed: true)),
        ("OWNER-ROUNDTRIP", "free reports another owner", () => FreeWithOwner(1), () => FreeWithOwner(0)),
        ("FREE-MATCHES-ALLOC", "freed twice, or refused the second time", () => FreedTwice(OperationOutcome.Ok),
            () => FreedTwice(OperationOutcome.Fail)),
        ("DESTROY-EMPTY", "pool destroyed with one live, or none", () => Destroyed(live: 1), () => Destroyed(live: 0)),
        ("NO-ALLOC-AFTER-CLEAR", "alloc after the clear, or refused", () => AllocAfterClear(ok: true),
            () => AllocAfterClear(ok: false)),
        ("OWNER-ALIVE", "owner freed, or alive and dying", () => AllocFromDeadChunk(freed: true),
            () => AllocFromDeadChunk(freed: false)),
        ("NO-PERMANENT-REFUSAL", "refused until the unbind, or once", () => RefusedAfterFailure(forever: true),
            () => RefusedAfterFailure(forever: false)),
        ("EXIT-AFTER-ZERO", "exit before zero", () => Exits(zero: false, switched: true),
            () => Exits(zero: true, switched: true)),
        ("EXIT-NOT-SWITCHING", "exit while switching", () => Exits(zero: true, switched: false),
            () => Exits(zero: true, switched: true)),
        ("KILL-ONCE", "killed twice in a life, or once in each of two", () => KilledTwice(newLife: false),
            () => KilledTwice(newLife: true)),
        ("NO-GET-FROM-ZERO", "get after zero, or before", () => Gets(afterZero: true), () => Gets(afterZero: false)),
        ("LIVE-FAILS-AFTER-CONFIRM", "alloc after the fold, or between kill and fold",
            () => AllocInTeardown(folded: true), () => AllocInTeardown(folded: false)),
        ("COUNT-CONSERVATION", "released while somebody holds, or at zero", () => Released(value: 1),
            () => Released(value: 0)),
        ("NO-GET-FROM-ZERO", "released twice in a life, or once in each of two", () => ReleasedAgain(newLife: false),
            () => ReleasedAgain(newLife: true)),
        ("LOOKUP-SAFE", "a lookup that finds removed memory, or finds nothing", () => Looks(Errno.OK),
            () => Looks(Errno.ENXIO)),
        ("PAGE-COUNT-NONNEG", "a second final put, of one page or of another", () => FinalPuts(page: 0),
            () => FinalPuts(page: 1)),
        ("PAGE-COUNT-NONNEG", "a count below zero, or at zero", () => Puts(count: -1), () => Puts(count: 0)),
        ("CLEANUP-ONCE-AFTER-KILL", "cleanup before the kill, or after", () => CleansUp(afterKill: false),
            () => CleansUp(afterKill: true)),
        ("WAIT-EFFECTIVE", "a latched completion, or this life's", () => Waits(latched: true),
            () => Waits(latched: false)),
        ("KILL-PROGRESS", "a switch that never ends", () => KilledWithoutSwitch(quiescent: true),
            () => KilledWithoutSwitch(quiescent: false)),
        ("MAP-ERASED-BEFORE-FREE", "freed before or after its teardown", () => PagemapFreed(before: true),
            () => PagemapFreed(before: false)),
        ("EXACTLY-ONCE", "an action that runs twice, or was added twice", () => RunsTwice(addedTwice: false),
            () => RunsTwice(addedTwice: true)),
        ("EXACTLY-ONCE", "an action left behind, or removed", () => LeftBehind(removed: false),
            () => LeftBehind(removed: true)),
        ("LIFO", "older first, or newest first", () => Runs(olderFirst: true), () => Runs(olderFirst: false)),
        ("NO-STALE-DATA", "data freed before its action", () => ActionOn(freedData: true),
            () => ActionOn(freedData: false)),
        ("NO-OP-AFTER-FREE", "an oops, or none", () => Dies("use-after-free"), () => Dies(null)),
        ("NO-NULL-DEREF", "an oops, or none", () => Dies("null-deref"), () => Dies(null)),
        ("UNBIND-QUIESCENT", "field left set", () => FieldLeft(left: true), () => FieldLeft(left: false)),
        ("PROBE-FAIL-QUIESCENT", "pool left by a failed probe", () => ProbeFails(poolLeft: true),
            () => ProbeFails(poolLeft: false)),
        ("ERROR-NO-RESIDUE", "a mapping left by a failed add_resource", () => AddFails(unmaps: false),
            () => AddFails(unmaps: true)),
        ("RES-INDEP", "the shared ref killed by another's failure", () => SharedRefKilled(failed: true),
            () => SharedRefKilled(failed: false)),
        ("NO-LEAK", "never freed, or not yet", () => Leaks(bound: false), () => Leaks(bound: true)),
        ("UNBIND-LIVE", "stuck without a holder, or with one", () => Stuck(held: false), () => Stuck(held: true)),
        ("ERROR-PATH-TERMINATES", "add_resource stuck, or ended", () => StuckAdd(stuck: true),
            () => StuckAdd(stuck: false)),
        ("PAGE-FREE-ONLY-IDLE", "idle with a pin, or with the pin given back", () => Idles(pinned: true, late: false),
            () => Idles(pinned: false, late: false)),
        ("PAGE-FREE-ONLY-IDLE", "idle with a pin, or the known quirk of a teardown",
            () => Idles(pinned: true, late: false), () => Idles(pinned: true, late: true)),
        ("SELECT-RULE", "not the first place, alone or beside another", () => Selects(page: 2, beside: false),
            () => Selects(page: 2, beside: true)),
        ("SELECT-RULE", "not the newest chunk, or the newest", () => SelectsOf(resource: 0),
            () => SelectsOf(resource: 1)),
        ("AVAIL-QUIESCENT", "a wrong avail, with nothing or something in flight",
            () => Avail(wrong: true, beside: false), () => Avail(wrong: true, beside: true)),
        ("AVAIL-QUIESCENT", "a wrong avail, or the right one", () => Avail(wrong: true, beside: false),
            () => Avail(wrong: false, beside: false)),
        ("SPURIOUS-NULL-ALLOWED", "refused with room, alone or beside another", () => RefusedWithRoom(beside: false),
            () => RefusedWithRoom(beside: true)),
        ("SPURIOUS-NULL-ALLOWED", "refused with room, or without",
            () => RefusedWithRoom(beside: false), RefusedWithoutRoom),
        ("ALLOC-PINS-ITS-RESOURCE", "held while its ref reached zero, or freed before it did", RemovedWhileHeld,
            FreeEndsTheWait),
        ("SYSFS-SAFE", "a read that dies, or another actor that does not", () => Shows("size", 0x10000, dies: true),
            () => Shows("size", 0x10000, dies: false)),
        ("PUBLISHED-IMPLIES-SETUP", "published after the clear, or a read that began before it",
            () => Publishes(before: false), () => Publishes(before: true)),
        ("OR-RESET", "the release did not run, or did", () => FailsToRegister(tornDown: false),
            () => FailsToRegister(tornDown: true)),
        ("OR-RESET", "run by release_all although never registered, or registered at the second try",
            () => RegistersAgain(succeeds: false), () => RegistersAgain(succeeds: true)),
        ("ONE-INCARNATION", "answered by the older one later, or sooner", () => TwoIncarnations(late: true),
            () => TwoIncarnations(late: false)),
        ("ONE-INCARNATION", "answered by the older one later, or asked later what the older one had done",
            () => TwoIncarnations(late: true), () => TwoIncarnations(late: true, OperationKind.Query)),
    ];

    private static World RemovedWhileHeld()
    {
        var w = new World().Bind();
        var a = w.Alloc();
        w.Access(a);
        w.Unbind();
        w.Free(a);
        return w;
    }

    private static World FreeEndsTheWait()
    {
        var w = new World().Bind();
        var a = w.Alloc();
        w.Access(a);
        return w.Unbind(whileWaiting: _ =>
        {
            w.Access(a);
            w.Refuse(Errno.ENODEV, owner: 0);
            w.Free(a);
        });
    }

    private static World FencedWhileHeld()
    {
        var w = new World().Bind();
        w.Access(w.Alloc());
        w.BeginUnbind();
        w.Teardown(0);
        w.Dev(EventKind.Fenced);
        return w;
    }

    internal static World AccessAfterRemove(bool freed)
    {
        var w = new World().Bind();
        var a = w.Alloc();
        w.Access(a);
        w.BeginUnbind();
        w.Teardown(0, () =>
        {
            if (freed)
            {
                w.Free(a);
            }
        });
        w.Access(a, error: Errno.EFAULT);
        if (!freed)
        {
            w.Free(a);
        }

        w.FreeMemory(w.Pagemap(0), "p2p_pgmap");
        w.EndUnbind();
        return w;
    }

    // The access is sent before the removal and its answer comes after it; what counts is the position.
    private static World AccessBeforeRemove()
    {
        var w = new World().Bind();
        var a = w.Alloc();
        w.BeginUnbind();
        w.BeginTeardown(0);
        w.Kill(0);
        w.Access(a, with: op => op with { DoneNs = op.DoneNs + 1_000 });
        w.Free(a, with: op => op with { SentNs = op.SentNs + 2_000, DoneNs = op.DoneNs + 2_000 });
        w.Reap(0);
        w.Remove(0);
        w.EndTeardown(0);
        w.FreeMemory(w.Pagemap(0), "p2p_pgmap");
        w.EndUnbind();
        return w;
    }

    private static World AccessInNewLife()
    {
        var w = new World().Bind();
        w.Free(w.Alloc());
        w.Unbind();
        w.NextLife();
        w.Bind();
        var a = w.Alloc();
        w.Access(a);
        w.Free(a);
        return w.Unbind();
    }

    private static World ReadsBack(ulong read, ulong unanswered)
    {
        var w = new World().Bind();
        var a = w.Alloc();
        w.Access(a, tag: 0xA);
        if (unanswered != 0)
        {
            w.Unanswered(OperationKind.Access, a, AccessDirection.Write, unanswered);
            w.Skip(World.Map(0));
        }

        w.Access(a, direction: AccessDirection.Read, tag: read);
        w.Free(a);
        return w.Unbind();
    }

    private static World SameAddress(bool freed)
    {
        var w = new World().Bind();
        var a = w.Alloc(page: 2, pages: 2);
        if (freed)
        {
            w.Free(a, page: 2, pages: 2);
        }

        var b = w.Alloc(page: 3, pages: 2);
        if (!freed)
        {
            w.Free(a, page: 2, pages: 2);
        }

        w.Free(b, page: 3, pages: 2);
        return w.Unbind();
    }

    private static World FreeWithOwner(int owner)
    {
        var w = new World().Bind(2);
        w.Free(w.Alloc(), with: op => op with { Owner = w.Id(World.Ref(owner)) });
        return w.Unbind(2);
    }

    private static World FreedTwice(OperationOutcome second)
    {
        var w = new World().Bind();
        var a = w.Alloc();
        w.Free(a);
        w.Free(
            a, with: op => op with { Outcome = second, Err = second is OperationOutcome.Ok ? Errno.OK : Errno.EINVAL });
        return w.Unbind();
    }

    private static World Destroyed(int live)
    {
        var w = new World().Bind();
        w.Free(w.Alloc());
        w.BeginUnbind();
        w.Teardown(0);
        w.FreeMemory(w.Pagemap(0), "p2p_pgmap");
        w.Release(live);
        w.Dev(EventKind.UnbindEnd, e => e with { After = [w.Last(World.Map(0)), w.Last(World.Ref(0))] });
        return w;
    }

    private static World AllocAfterClear(bool ok)
    {
        var w = new World().Bind();
        w.Free(w.Alloc());
        w.BeginUnbind();
        w.Teardown(0);
        w.FreeMemory(w.Pagemap(0), "p2p_pgmap");
        w.RunNode(0, "pci_p2pdma_release", w.P2pdma);
        w.Dev(EventKind.FieldClear);
        if (ok)
        {
            w.Free(w.Alloc(with: op => op with { Owner = 0 }), with: op => op with { Owner = 0 });
        }
        else
        {
            w.Refuse(Errno.ENODEV);
        }

        w.Dev(EventKind.PoolDestroy);
        w.FreeMemory(w.P2pdma, "p2pdma");
        w.Dev(EventKind.UnbindEnd);
        return w;
    }

    private static World AllocFromDeadChunk(bool freed)
    {
        var w = new World().Bind(2);
        var older = w.Alloc(resource: 0);
        w.Access(older);
        w.BeginUnbind();
        w.Teardown(1);
        if (freed)
        {
            w.FreeMemory(w.Pagemap(1), "p2p_pgmap");
        }

        w.Refuse(Errno.ENODEV, owner: 1);
        if (!freed)
        {
            w.FreeMemory(w.Pagemap(1), "p2p_pgmap");
        }

        w.Teardown(0, () => w.Free(older));
        w.FreeMemory(w.Pagemap(0), "p2p_pgmap");
        w.EndUnbind(2);
        return w;
    }

    private static World RefusedAfterFailure(bool forever)
    {
        var w = new World();
        w.Begin();
        w.AddResource(0);
        w.AddResource(1, Errno.ENOMEM);
        w.Dev(EventKind.BindEnd, e => e with { Err = Errno.ENOMEM });
        w.Refuse(Errno.ENODEV);
        if (!forever)
        {
            w.Free(w.Alloc());
        }

        w.BeginUnbind();
        w.Teardown(0);
        w.FreeMemory(w.Pagemap(0), "p2p_pgmap");
        w.EndUnbind();
        return w;
    }

    private static World Exits(bool zero, bool switched)
    {
        var w = new World().Bind();
        w.Free(w.Alloc());
        w.BeginUnbind();
        w.BeginTeardown(0);
        w.Event(EventKind.RefKill, World.Ref(0));
        if (switched)
        {
            w.Event(EventKind.SwitchDone, World.Ref(0));
        }

        if (zero)
        {
            w.Event(EventKind.RefZero, World.Ref(0));
        }

        w.Event(EventKind.RefExit, World.Ref(0));
        w.Remove(0);
        w.EndTeardown(0);
        w.FreeMemory(w.Pagemap(0), "p2p_pgmap");
        w.EndUnbind();
        return w;
    }

    private static World KilledTwice(bool newLife)
    {
        var w = new World().Bind();
        w.Free(w.Alloc());
        if (newLife)
        {
            w.Unbind();
            w.NextLife();
            return w.Bind().Unbind();
        }

        return w.Unbind(whileWaiting: w.Kill);
    }

    private static World Gets(bool afterZero)
    {
        var w = new World().Bind();
        w.Free(w.Alloc());
        if (!afterZero)
        {
            w.Event(EventKind.RefGet, World.Ref(0));
        }

        w.BeginUnbind();
        w.BeginTeardown(0);
        w.Kill(0);
        w.Reap(0);
        if (afterZero)
        {
            w.Event(EventKind.RefGet, World.Ref(0));
        }

        w.Remove(0);
        w.EndTeardown(0);
        w.FreeMemory(w.Pagemap(0), "p2p_pgmap");
        w.EndUnbind();
        return w;
    }

    private static World AllocInTeardown(bool folded)
    {
        var w = new World().Bind();
        w.Free(w.Alloc());
        w.BeginUnbind();
        w.BeginTeardown(0);
        if (folded)
        {
            w.Kill(0);
        }

        var a = w.Alloc();
        if (!folded)
        {
            w.Kill(0);
        }

        w.Free(a);
        w.Reap(0);
        w.Remove(0);
        w.EndTeardown(0);
        w.FreeMemory(w.Pagemap(0), "p2p_pgmap");
        w.EndUnbind();
        return w;
    }

    private static World Released(int value)
    {
        var w = new World().Bind();
        w.Free(w.Alloc());
        w.BeginUnbind();
        w.BeginTeardown(0);
        w.Kill(0);
        w.Event(EventKind.RefZero, World.Ref(0), e => e with { Count = value });
        w.Event(EventKind.RefExit, World.Ref(0));
        w.Remove(0);
        w.EndTeardown(0);
        w.FreeMemory(w.Pagemap(0), "p2p_pgmap");
        w.EndUnbind();
        return w;
    }

    private static World ReleasedAgain(bool newLife)
    {
        var w = new World().Bind();
        w.Free(w.Alloc());
        if (newLife)
        {
            w.Unbind();
            w.NextLife();
            return w.Bind().Unbind();
        }

        return w.Unbind(whileWaiting: _ => w.Event(EventKind.RefZero, World.Ref(0)));
    }

    private static World Looks(Errno error)
    {
        var w = new World().Bind();
        w.Free(w.Alloc());
        w.Unbind();
        w.Event(
            EventKind.MapLookup, World.Map(0), e => e with { Pfn = World.StartOf(0) / World.PageBytes, Err = error });
        return w;
    }

    private static World Pinned(bool putFirst)
    {
        var w = new World().Bind();
        w.Free(w.Alloc());
        var pin = new AllocId(w.Id(World.Device), 1, 1L << 32);
        var got = w.Event(EventKind.PageGet, World.Map(0), Of);

        // The client's own record of the pin has the position of the page map's event, and is not a second one.
        w.Records.Add(w.Operation(OperationKind.Alloc, got) with { Alloc = pin });
        return w.Unbind(whileWaiting: _ =>
        {
            if (putFirst)
            {
                w.Event(EventKind.PagePut, World.Map(0), Of);
            }
        });

        HistoryEvent Of(HistoryEvent e) => e with
        {
            Pfn = World.StartOf(0) / World.PageBytes,
            Count = 1,
            Text = "pin",
            Alloc = pin
        };
    }

    private static World FinalPuts(ulong page)
    {
        var w = new World().Bind();
        w.Free(w.Alloc());
        var pfn = World.StartOf(0) / World.PageBytes;
        return w.Unbind(whileWaiting: _ =>
        {
            w.Event(EventKind.PageFinalPut, World.Map(0), e => e with { Pfn = pfn });
            w.Event(EventKind.PageFinalPut, World.Map(0), e => e with { Pfn = pfn + page });
        });
    }

    private static World Puts(int count)
    {
        var w = new World().Bind();
        w.Free(w.Alloc());
        return w.Unbind(whileWaiting: _ =>
            w.Event(EventKind.PagePut, World.Map(0), e => e with
            {
                Pfn = World.StartOf(0) / World.PageBytes,
                Count = count,
                Text = "pin"
            }));
    }

    private static World CleansUp(bool afterKill)
    {
        var w = new World().Bind();
        w.Free(w.Alloc());
        if (!afterKill)
        {
            w.Event(EventKind.CleanupBegin, World.Ref(0));
        }

        return w.Unbind(whileWaiting: _ =>
        {
            if (afterKill)
            {
                w.Event(EventKind.CleanupBegin, World.Ref(0));
            }
        });
    }

    private static World Waits(bool latched)
    {
        var w = new World().Bind();
        w.Free(w.Alloc());
        w.BeginUnbind();
        w.BeginTeardown(0);
        w.Kill(0);
        w.Event(EventKind.WaitBegin, World.Ref(0));
        if (!latched)
        {
            w.Event(EventKind.RefZero, World.Ref(0));
        }

        w.Event(EventKind.WaitEnd, World.Ref(0));
        if (latched)
        {
            w.Event(EventKind.RefZero, World.Ref(0));
        }

        w.Event(EventKind.RefExit, World.Ref(0));
        w.Remove(0);
        w.EndTeardown(0);
        w.FreeMemory(w.Pagemap(0), "p2p_pgmap");
        w.EndUnbind();
        return w;
    }

    private static World KilledWithoutSwitch(bool quiescent)
    {
        var w = new World().Bind();
        w.Free(w.Alloc());
        w.BeginUnbind();
        w.BeginTeardown(0);
        w.Event(EventKind.RefKill, World.Ref(0));
        w.Header = w.Header with { Quiescent = quiescent };
        return w;
    }

    private static World PagemapFreed(bool before)
    {
        var w = new World().Bind();
        w.Free(w.Alloc());
        w.BeginUnbind();
        w.BeginTeardown(0);
        w.Kill(0);
        w.Reap(0);
        if (before)
        {
            w.FreeMemory(w.Pagemap(0), "p2p_pgmap");
        }

        w.Remove(0);
        w.EndTeardown(0);
        if (!before)
        {
            w.FreeMemory(w.Pagemap(0), "p2p_pgmap");
        }

        w.EndUnbind();
        return w;
    }

    private static World RunsTwice(bool addedTwice)
    {
        var w = new World().Bind();
        w.Free(w.Alloc());
        var node = w.AddNode("extra", World.Device);
        var second = addedTwice ? w.AddNode("extra", World.Device) : node;
        w.BeginUnbind();
        w.RunNode(second, "extra", World.Device);
        w.RunNode(node, "extra", World.Device);
        w.Teardown(0);
        w.FreeMemory(w.Pagemap(0), "p2p_pgmap");
        w.EndUnbind();
        return w;
    }

    private static World LeftBehind(bool removed)
    {
        var w = new World().Bind();
        w.Free(w.Alloc());
        var node = w.AddNode("extra", World.Device);
        if (removed)
        {
            w.Dev(EventKind.DevresRemove, e => e with { Node = node, Fn = "extra", Text = "action" });
        }

        return w.Unbind();
    }

    private static World Runs(bool olderFirst)
    {
        var w = new World().Bind();
        w.Free(w.Alloc());
        var older = w.AddNode("older", World.Device);
        var newer = w.AddNode("newer", World.Device);
        w.BeginUnbind();
        w.RunNode(olderFirst ? older : newer, "first", World.Device);
        w.RunNode(olderFirst ? newer : older, "second", World.Device);
        w.Teardown(0);
        w.FreeMemory(w.Pagemap(0), "p2p_pgmap");
        w.EndUnbind();
        return w;
    }

    private static World ActionOn(bool freedData)
    {
        var w = new World().Bind();
        w.Free(w.Alloc());
        w.Dev(EventKind.ObjAlloc, e => e with { Other = w.Id("extra:1"), Text = "extra" });
        var node = w.AddNode("extra", "extra:1");
        if (freedData)
        {
            w.FreeMemory("extra:1", "extra");
        }

        w.BeginUnbind();
        w.RunNode(node, "extra", "extra:1");
        if (!freedData)
        {
            w.FreeMemory("extra:1", "extra");
        }

        w.Teardown(0);
        w.FreeMemory(w.Pagemap(0), "p2p_pgmap");
        w.EndUnbind();
        return w;
    }

    private static World Dies(string? oops)
    {
        var w = new World().Bind();
        w.Free(w.Alloc());
        return w.Unbind(whileWaiting: _ =>
        {
            if (oops is not null)
            {
                w.Dev(EventKind.Oops, e => e with
                {
                    Text = oops,
                    Actor = "client:c2",
                    Fn = "a step",
                    Other = w.Id(w.Pagemap(0))
                });
            }
            else
            {
                w.Dev(EventKind.Warn, e => e with { Text = "section-conflict", Fn = "devm_memremap_pages" });
            }
        });
    }

    private static World FieldLeft(bool left)
    {
        var w = new World().Bind();
        w.Free(w.Alloc());
        w.BeginUnbind();
        w.Teardown(0);
        w.FreeMemory(w.Pagemap(0), "p2p_pgmap");
        w.RunNode(0, "pci_p2pdma_release", w.P2pdma);
        if (!left)
        {
            w.Dev(EventKind.FieldClear);
        }

        w.Dev(EventKind.PoolDestroy);
        w.FreeMemory(w.P2pdma, "p2pdma");
        w.Dev(EventKind.UnbindEnd, e => e with { After = [w.Last(World.Map(0)), w.Last(World.Ref(0))] });
        return w;
    }

    private static World ProbeFails(bool poolLeft)
    {
        var w = new World().Bind();
        w.Free(w.Alloc());
        w.Unbind();
        w.NextLife();
        w.Begin();
        w.Dev(EventKind.ReleaseAllBegin);
        w.RunNode(w.SetupNode, "pci_p2pdma_release", w.P2pdma);
        w.Dev(EventKind.FieldClear);
        if (!poolLeft)
        {
            w.Dev(EventKind.PoolDestroy);
        }

        w.FreeMemory(w.P2pdma, "p2pdma");
        w.Dev(EventKind.ReleaseAllEnd);
        w.Dev(EventKind.BindEnd, e => e with { Err = Errno.ENOMEM });
        return w;
    }

    private static World AddFails(bool unmaps)
    {
        var w = new World();
        w.Begin();
        w.AddResource(0);
        w.AddResource(1, Errno.ENOMEM, unmaps);
        w.Dev(EventKind.BindEnd, e => e with { Err = Errno.ENOMEM });
        w.Free(w.Alloc());
        return w;
    }

    private static World SharedRefKilled(bool failed)
    {
        const string Shared = "ref:h1/0000:01:00.0/shared";
        var w = new World();
        w.Header = w.Header with { Profile = "P3" };
        w.Begin();
        w.Incarnation(Shared);
        w.Event(EventKind.RefInit, Shared);
        w.AddResource(0);
        w.Dev(EventKind.AddResourceBegin, e => e with { Node = 1 });
        if (failed)
        {
            w.Event(EventKind.RefKill, Shared, e => e with { After = [w.Last(World.Device)] });
            w.Event(EventKind.SwitchDone, Shared);
        }

        w.Dev(EventKind.AddResourceEnd, e => e with { Node = 1, Err = Errno.ENOMEM });
        w.Dev(EventKind.BindEnd, e => e with { Err = Errno.ENOMEM });
        w.Free(w.Alloc());
        return w;
    }

    private static World Leaks(bool bound)
    {
        var w = new World().Bind();
        w.Free(w.Alloc());
        w.Dev(EventKind.ObjAlloc, e => e with { Other = w.Id("queue:h1/pmem0"), Text = "queue" });
        return bound ? w : w.Unbind();
    }

    private static World Stuck(bool held)
    {
        var w = new World().Bind();
        var a = w.Alloc();
        w.Access(a);
        if (!held)
        {
            w.Free(a);
        }

        w.BeginUnbind();
        w.BeginTeardown(0);
        w.Kill(0);
        w.Event(EventKind.WaitBegin, World.Ref(0));
        w.Dev(EventKind.Hang, e => e with
        {
            Other = w.Id(World.Ref(0)),
            Fn = "the release of bar0",
            Text = "stuck-unbind",
            Actor = "unbind"
        });
        return w;
    }

    /// <summary>
    /// One ref for both resources: the release of the newer waits for pages that the release of the older gives back.
    /// </summary>
    internal static World StuckBehindLaterStep()
    {
        var w = new World { Header = new() { Profile = "X6-5", Quiescent = true } }.Bind(2);
        w.Free(w.Alloc());
        w.BeginUnbind();
        w.BeginTeardown(1);
        w.Kill(1);
        w.Event(EventKind.WaitBegin, World.Ref(1));
        w.Dev(EventKind.Hang, e => e with
        {
            Other = w.Id(World.Ref(1)),
            Fn = "the release of bar1",
            Text = "deadlock",
            Actor = "unbind",
        });
        return w;
    }

    private static World StuckAdd(bool stuck)
    {
        var w = new World();
        w.Begin();
        w.AddResource(0);
        if (stuck)
        {
            w.Dev(EventKind.AddResourceBegin, e => e with { Node = 1 });
            w.Free(w.Alloc());
            w.Dev(EventKind.Hang, e => e with
            {
                Other = w.Id(World.Ref(0)),
                Fn = "memremap's error exit",
                Text = "stuck-bind",
                Actor = "bind"
            });
        }
        else
        {
            w.AddResource(1, Errno.ENOMEM);
            w.Dev(EventKind.BindEnd, e => e with { Err = Errno.ENOMEM });
            w.Free(w.Alloc());
        }

        return w;
    }

    private static World TwoIncarnations(bool late, OperationKind kind = OperationKind.Alloc)
    {
        var w = new World().Bind();
        w.Free(w.Alloc());
        var at = w.Skip(World.Device);
        var op = w.Operation(kind, at);
        (op.Outcome, op.Err) = (OperationOutcome.Fail, Errno.ENOMEM);
        w.Incarnation(World.Device, "failover");
        w.Dev(EventKind.Fenced);
        w.Records.Add(late ? op with { SentNs = op.SentNs + 1_000, DoneNs = op.DoneNs + 1_000 } : op);
        return w;
    }

    private static World Live()
    {
        var w = new World();
        w.Header = w.Header with { Source = "live" };
        return w;
    }

    private static World Idles(bool pinned, bool late)
    {
        var w = new World().Bind();
        w.Free(w.Alloc());
        var pfn = World.StartOf(0) / World.PageBytes;
        void Page(EventKind kind, int count, string? text) =>
            w.Event(kind, World.Map(0), e => e with { Pfn = pfn, Count = count, Text = text, Actor = "client:c2" });

        Page(EventKind.PageGet, 2, "pin");
        if (!pinned)
        {
            Page(EventKind.PagePut, 1, "pin");
        }

        if (!late)
        {
            Page(EventKind.PageIdle, 1, null);
        }

        return w.Unbind(whileWaiting: _ =>
        {
            Page(EventKind.PagePut, pinned ? 1 : 0, "init");
            if (late)
            {
                Page(EventKind.PageIdle, 1, null);
            }

            if (pinned)
            {
                Page(EventKind.PagePut, 0, "pin");
            }
        });
    }

    // Where an alloc runs beside another, that one may hold what looks free, until it gives it back.
    private static World Selects(int page, bool beside)
    {
        var w = Live().Bind();
        var a = w.Alloc(page: page);
        if (beside)
        {
            w.Refuse(Errno.EAGAIN);
            w.Records[^1] = w.Records[^1].Operation with { SentNs = 1 };
        }

        w.Free(a, page: page);
        return w.Unbind();
    }

    private static World SelectsOf(int resource)
    {
        var w = Live().Bind(2);
        w.Free(w.Alloc(resource), resource);
        return w.Unbind(2);
    }

    private static World Avail(bool wrong, bool beside)
    {
        var w = Live().Bind();
        var a = w.Alloc();
        w.Dev(EventKind.SysfsShowBegin, e => e with { Text = "available", Actor = "reader" });
        w.Dev(EventKind.SysfsShowEnd, e => e with
        {
            Text = "available",
            Actor = "reader",
            Count = (long)(wrong ? World.ResourceBytes : World.ResourceBytes - World.PageBytes),
        });
        w.Free(a, with: op => beside ? op with { SentNs = 1 } : op);
        return w.Unbind();
    }

    private static World RefusedWithRoom(bool beside)
    {
        var w = Live().Bind();
        var a = w.Alloc(pages: 4);
        w.Refuse(Errno.ENOMEM, size: 4 * World.PageBytes);
        w.Free(a, pages: 4, with: op => beside ? op with { SentNs = 1 } : op);
        return w.Unbind();
    }

    private static World RefusedWithoutRoom()
    {
        var w = Live().Bind();
        var a = w.Alloc(pages: 14);
        w.Refuse(Errno.ENOMEM, size: 3 * World.PageBytes);
        w.Free(a, pages: 14);
        return w.Unbind();
    }

    private static World Shows(string attribute, long value, bool dies)
    {
        var w = new World().Bind();
        w.Free(w.Alloc());
        return w.Unbind(whileWaiting: _ =>
        {
            w.Dev(EventKind.SysfsShowBegin, e => e with { Text = attribute, Actor = "reader" });
            if (dies)
            {
                w.Dev(EventKind.Oops, e => e with
                {
                    Text = "use-after-free",
                    Actor = "reader",
                    Fn = "size_show reads the pool",
                    Other = w.Id("pool:h1/0000:01:00.0"),
                });
            }
            else
            {
                w.Dev(EventKind.SysfsShowEnd, e => e with { Text = attribute, Actor = "reader", Count = value });
            }
        });
    }

    private static World Publishes(bool before)
    {
        void Show(World w, EventKind kind) =>
            w.Dev(kind, e => e with { Text = "published", Actor = "reader", Count = 1 });

        var w = new World().Bind();
        w.Free(w.Alloc());
        w.BeginUnbind();
        w.Teardown(0);
        w.FreeMemory(w.Pagemap(0), "p2p_pgmap");
        w.RunNode(0, "pci_p2pdma_release", w.P2pdma);
        if (before)
        {
            Show(w, EventKind.SysfsShowBegin);
        }

        w.Dev(EventKind.FieldClear);
        if (!before)
        {
            Show(w, EventKind.SysfsShowBegin);
        }

        Show(w, EventKind.SysfsShowEnd);
        w.Dev(EventKind.PoolDestroy);
        w.FreeMemory(w.P2pdma, "p2pdma");
        w.Dev(EventKind.UnbindEnd, e => e with { After = [w.Last(World.Map(0)), w.Last(World.Ref(0))] });
        return w;
    }

    private static World FailsToRegister(bool tornDown)
    {
        var w = new World();
        w.Begin();
        w.AddResource(0);
        w.Dev(EventKind.AddResourceBegin, e => e with { Node = 1, SizeBytes = World.ResourceBytes });
        w.Dev(EventKind.ActionAddFailed, e => e with
        {
            Fn = "devm_memremap_pages_release",
            Text = "action",
            Other = w.Id(w.Pagemap(1)),
        });
        if (tornDown)
        {
            w.Dev(EventKind.TeardownBegin, e => e with
            {
                Other = w.Id(World.Map(1)),
                Start = World.StartOf(1),
                SizeBytes = World.ResourceBytes,
            });
            w.Dev(EventKind.TeardownEnd, e => e with
            {
                Other = w.Id(World.Map(1)),
                Start = World.StartOf(1),
                SizeBytes = World.ResourceBytes,
            });
        }

        w.Dev(EventKind.AddResourceEnd, e => e with { Node = 1, Err = Errno.ENOMEM });
        w.Dev(EventKind.BindEnd, e => e with { Err = Errno.ENOMEM });
        w.Free(w.Alloc());
        return w;
    }

    private static World RegistersAgain(bool succeeds)
    {
        var w = new World().Bind();
        w.Free(w.Alloc());
        w.Dev(EventKind.ActionAddFailed, e => e with { Fn = "extra", Text = "action", Other = w.Id(World.Device) });
        var node = succeeds ? w.AddNode("extra", World.Device) : 77;
        w.BeginUnbind();
        w.RunNode(node, "extra", World.Device);
        w.Teardown(0);
        w.FreeMemory(w.Pagemap(0), "p2p_pgmap");
        w.EndUnbind();
        return w;
    }
}
