using Fleet.Checking.History;
using Fleet.Kernel.History;

namespace Fleet.LoadTests.Checking;

/// <summary>A history as a correct fleet leaves it, made on the fly: it is never held, whatever its length.</summary>
/// <remarks>
/// Device after device, each for some lives: bind, add_resource, allocations that are written, read and freed, unbind
/// with the last holder letting go while it waits. Records come page map, ref, device: the order of the store.
/// </remarks>
internal static class CheckerHistory
{
    /// <summary>Allocations live at a time in each device.</summary>
    private const int Held = 16;

    private const int Resources = 2;
    private const ulong ResourceBytes = 1 << 20;
    private const ulong Page = 4096;

    /// <summary>Operations of one life of one device, besides its events.</summary>
    private const int Rounds = 400;

    public static HistoryHeader Header => new()
    {
        Run = "bench",
        Source = "hand",
        Profile = "ALL",
        Clock = "monotonic:bench",
        SortedByObject = true,
        Quiescent = true,
    };

    /// <summary>Returns at least <paramref name="count"/> records; ends with the end of a device.</summary>
    public static IEnumerable<HistoryRecord> Records(ObjectTable objects, long count, int devices)
    {
        var given = 0L;
        var clients = Enumerable.Range(0, 64).Select(i => objects.Intern($"client:{i:00}")).ToArray();
        var lives = (int)Math.Max(1, count / devices / ((Rounds * 3) + 60));
        for (var d = 0; given < count; d++)
        {
            foreach (var record in DeviceRecords(objects, $"b{d / 64}/0000:{d % 64:x2}:00.0", lives, clients))
            {
                given++;
                yield return record;
            }
        }
    }

    private static IEnumerable<HistoryRecord> DeviceRecords(ObjectTable objects, string name, int lives, int[] clients)
    {
        var device = objects.Intern("dev:" + name);
        for (var r = 0; r < Resources; r++)
        {
            foreach (var record in MapRecords(objects, device, name, r, lives, clients))
            {
                yield return record;
            }

            foreach (var record in RefRecords(objects, device, name, r, lives))
            {
                yield return record;
            }
        }

        var (seq, time, number) = (0L, 0L, 0L);
        var live = new Queue<Operation>();
        for (var life = 1; life <= lives; life++)
        {
            HistoryEvent Event(EventKind kind, int node = -1, int other = 0, int resource = -1) => new()
            {
                Kind = kind,
                At = new(device, 1, ++seq, life),
                TimeNs = time += 50,
                Node = node,
                Other = other,
                Start = resource < 0 ? 0 : StartOf(resource),
                SizeBytes = resource < 0 ? 0 : ResourceBytes,
            };
            if (life == 1)
            {
                yield return Event(EventKind.Incarnation) with { Fn = "first" };
            }

            yield return Event(EventKind.BindBegin);
            yield return Event(EventKind.PoolCreate);
            yield return Event(EventKind.FieldSet);
            for (var r = 0; r < Resources; r++)
            {
                yield return Event(EventKind.DevresAdd, node: r, other: device) with
                {
                    Text = "action",
                    Fn = "release",
                };
                yield return Event(
                    EventKind.ChunkAdd, r, objects.Intern($"ref:{name}/bar{r}"), resource: r);
            }

            yield return Event(EventKind.BindEnd);
            for (var round = 0; round < Rounds; round++)
            {
                var client = clients[round % clients.Length];
                var op = new Operation
                {
                    Number = ++number,
                    Client = client,
                    Session = client,
                    Device = device,
                    Kind = OperationKind.Alloc,
                    Outcome = OperationOutcome.Ok,
                    SentNs = time += 20,
                    DoneNs = time + 900,
                    At = new(device, 1, ++seq, life),
                    Alloc = new(device, 1, number),
                    Address = StartOf(round % Resources) + ((ulong)(round / Resources % Held) * Page),
                    SizeBytes = Page,
                    Owner = objects.Intern(round % Resources == 0 ? $"ref:{name}/bar0" : $"ref:{name}/bar1"),
                };
                live.Enqueue(op);
                yield return op;
                if (live.Count == Held)
                {
                    yield return Freed(live.Dequeue(), ref seq, ref time);
                }
            }

            yield return Event(EventKind.UnbindBegin);
            for (var r = Resources - 1; r >= 0; r--)
            {
                yield return Event(EventKind.DevresRun, node: r, other: device) with
                {
                    Text = "action",
                    Fn = "release",
                };
                yield return Event(EventKind.TeardownBegin, other: objects.Intern($"map:{name}/bar{r}"), resource: r);
                for (var n = live.Count; n > 0; n--)
                {
                    var op = live.Dequeue();
                    if (op.Address >= StartOf(r) && op.Address - StartOf(r) < ResourceBytes)
                    {
                        yield return Freed(op, ref seq, ref time);
                    }
                    else
                    {
                        live.Enqueue(op);
                    }
                }

                yield return Event(
                    EventKind.TeardownEnd, other: objects.Intern($"map:{name}/bar{r}"), resource: r);
            }

            yield return Event(EventKind.FieldClear);
            yield return Event(EventKind.PoolDestroy);
            yield return Event(EventKind.UnbindEnd);
        }
    }

    private static Operation Freed(Operation op, ref long seq, ref long time)
    {
        op.Kind = OperationKind.Free;
        op.At = op.At with { Seq = ++seq };
        op.SentNs = time += 20;
        op.DoneNs = time + 900;
        return op;
    }

    private static IEnumerable<HistoryRecord> MapRecords(
        ObjectTable objects, int device, string name, int resource, int lives, int[] clients)
    {
        var map = objects.Intern($"map:{name}/bar{resource}");
        var pfn = StartOf(resource) / Page;
        var (seq, time, number) = (0L, 0L, 0L);
        for (var life = 1; life <= lives; life++)
        {
            HistoryEvent Event(EventKind kind) => new()
            {
                Kind = kind,
                At = new(map, 1, ++seq, life),
                TimeNs = time += 50,
                Pfn = pfn,
                Count = (long)(ResourceBytes / Page),
            };
            yield return Event(EventKind.MemoryAdd);
            yield return Event(EventKind.PagesInit);
            yield return Event(EventKind.MapStore);
            for (var i = 0; i < Rounds / Resources; i++)
            {
                number += resource == 0 && i == 0 ? 1 : Resources;
                yield return new Operation
                {
                    Number = number,
                    Client = clients[i % clients.Length],
                    Session = clients[i % clients.Length],
                    Device = device,
                    Kind = OperationKind.Access,
                    Outcome = OperationOutcome.Ok,
                    SentNs = time += 20,
                    DoneNs = time + 900,
                    At = new(map, 1, ++seq, life),
                    Alloc = new(device, 1, number),
                    Map = map,
                    Pfn = pfn + (ulong)(i % Held),
                    PageCount = 1,
                    Via = AccessVia.Cpu,
                    Tag = (ulong)number,
                    Direction = AccessDirection.Write,
                };
            }

            yield return Event(EventKind.MemoryRemove);
            yield return Event(EventKind.MapErase);
        }
    }

    private static IEnumerable<HistoryRecord> RefRecords(
        ObjectTable objects, int device, string name, int resource, int lives)
    {
        var id = objects.Intern($"ref:{name}/bar{resource}");
        var (seq, time) = (0L, 0L);
        EventKind[] steps =
        [
            EventKind.RefInit, EventKind.RefKill, EventKind.SwitchDone, EventKind.WaitBegin, EventKind.RefZero,
            EventKind.Complete, EventKind.WaitEnd, EventKind.RefExit,
        ];
        for (var life = 1; life <= lives; life++)
        {
            foreach (var kind in steps)
            {
                yield return new HistoryEvent
                {
                    Kind = kind,
                    At = new(id, 1, ++seq, life),
                    TimeNs = time += 50,
                    Other = device,
                };
            }
        }
    }

    private static ulong StartOf(int resource) => 0x40_0000_0000UL + ((ulong)resource << 32);
}
