using CsCheck;
using Fleet.Kernel;
using Fleet.Kernel.History;
using Fleet.Storage.Results;

namespace Fleet.Storage.Tests;

/// <summary>Records as a run makes them, and records at the edges of their types.</summary>
internal static class Samples
{
    public static ObjectTable Objects()
    {
        var objects = new ObjectTable();
        foreach (var name in (string[])
            ["dev:h/0000:01:00.0", "ref:h/0000:01:00.0/bar4", "map:h/0000:01:00.0/bar4", "pool:h/0000:01:00.0",
            "dev:h/0000:02:00.0", "map:h/0000:02:00.0/bar2", "client:a", "client:b", "session:s", "session:t"])
        {
            objects.Intern(name);
        }

        return objects;
    }

    private static readonly Gen<long> Longs = Gen.OneOf(Gen.Long, Gen.Const(0L), Gen.Long[0, 1000]);
    private static readonly Gen<long> Times = Gen.Long[0, 1L << 50];

    private static readonly Gen<ulong> Pfns = Gen.OneOf(Gen.ULong[0, 99], Gen.ULong[0, 1UL << 32], Gen.ULong);
    private static readonly Gen<ulong> Addresses = Gen.OneOf(Gen.ULong, Gen.ULong[0, 1UL << 32].Select(p => p << 12));

    public static Gen<Operation> Operation { get; } =
        from number in Gen.Long[1, (1L << 53) - 1]
        from kind in Gen.Enum<OperationKind>()
        from outcome in Gen.Enum<OperationOutcome>()
        from how in Gen.Select(Gen.Enum<AccessDirection>(), Gen.Enum<AccessVia>(), Gen.Enum<Errno>())
        from intended in Times
        from late in Gen.OneOf(Gen.Const(0L), Gen.Long[0, 1L << 40])
        from took in Gen.OneOf(Gen.Long[0, 100_000], Gen.Long[0, 1L << 40])
        from ids in Gen.Select(
            Gen.Int[7, 8], Gen.Int[9, 10], Gen.Int[0, 6], Gen.Int[0, 6], Gen.Int[0, 6], Gen.Int[0, 6])
        from at in Gen.Select(Gen.Int[1, 3], Gen.OneOf(Gen.Long[1, 9], Gen.Long[1, long.MaxValue]), Gen.Int[0, 3])
        from alloc in Gen.Select(Gen.Int[1, 3], Longs.Where(n => n >= 0))
        from words in Gen.Select(Addresses, Longs, Pfns, Gen.ULong, Gen.Int, Longs)
        select new Operation
        {
            Number = number,
            Kind = kind,
            Outcome = outcome,
            Direction = how.Item1,
            Via = how.Item2,
            Err = how.Item3,
            IntendedNs = intended,
            SentNs = intended + late,
            DoneNs = intended + late + took,
            Client = ids.Item1,
            Session = ids.Item2,
            Device = ids.Item3,
            Owner = ids.Item4,
            Map = ids.Item5,
            At = ids.Item6 == 0 ? default : new Position(ids.Item6, at.Item1, at.Item2, at.Item3),
            Alloc = alloc.Item2 == 0 || ids.Item3 == 0 ? default : new AllocId(ids.Item3, alloc.Item1, alloc.Item2),
            Address = words.Item1,
            SizeBytes = unchecked((ulong)words.Item2),
            Pfn = words.Item3,
            Tag = words.Item4,
            PageCount = words.Item5,
            Of = words.Item6,
        };

    private static readonly Gen<Position> At =
        Gen.Select(Gen.Int[1, 6], Gen.Int[1, 3], Gen.Long[1, long.MaxValue], Gen.Int[0, 3],
            (o, g, s, l) => new Position(o, g, s, l));

    private static readonly Gen<string?> Text = Gen.OneOf(
        Gen.Bool.Select(_ => (string?)null), Gen.String.Select(s => (string?)s.Replace('\0', '0')));

    public static Gen<HistoryEvent> Event { get; } =
        from kind in Gen.Enum<EventKind>().Where(k => k is not EventKind.None)
        from at in At
        from texts in Gen.Select(Text, Text, Text)
        from after in At.Array[0, 3]
        from words in Gen.Select(Gen.ULong, Gen.ULong, Gen.ULong, Gen.Long, Gen.Int[-1, 5], Gen.Enum<Errno>())
        from proc in Gen.Int[0, 2]
        from other in Gen.Int[0, 6]
        from alloc in Gen.OneOf(Gen.Const(default(AllocId)), Gen.Const(new AllocId(1, 2, 3)))
        select new HistoryEvent
        {
            Kind = kind,
            At = at,
            Proc = proc,
            TimeNs = 17,
            Actor = texts.Item1,
            Fn = texts.Item2,
            Text = texts.Item3,
            After = after,
            Start = words.Item1,
            SizeBytes = words.Item2,
            Pfn = words.Item3,
            Count = words.Item4,
            Node = words.Item5,
            Err = words.Item6,
            Other = other,
            Alloc = alloc,
        };

    /// <summary>Compares with the lists of positions by content.</summary>
    public static void Same(HistoryEvent expected, HistoryEvent actual)
    {
        Assert.Equal(expected.After, actual.After);
        Assert.Equal(expected with { After = [] }, actual with { After = [] });
    }
}

/// <summary>Keeps what a reader passes on.</summary>
internal sealed class Collected : IHistorySink
{
    public List<HistoryEvent> Events { get; } = [];

    public List<Operation> Operations { get; } = [];

    public List<Position> Order { get; } = [];

    public void Observe(HistoryEvent record)
    {
        Events.Add(record);
        Order.Add(record.At);
    }

    public void Observe(in Operation record)
    {
        Operations.Add(record);
        Order.Add(record.At);
    }
}

/// <summary>A directory of one test, gone after it.</summary>
internal sealed class Folder : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("fleet-test-").FullName;

    public string In(string name) => System.IO.Path.Combine(Path, name);

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
