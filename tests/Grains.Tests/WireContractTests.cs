using System.Buffers.Binary;
using System.Reflection;
using System.Text;
using CsCheck;
using Fleet.Grains.Serialization;
using Fleet.Kernel;
using Fleet.Kernel.History;
using Fleet.Kernel.Memremap;
using Fleet.Kernel.P2pdma;
using Fleet.Protocol.Machines;
using Fleet.Protocol.Maps;
using Fleet.Protocol.Plans;
using Fleet.Protocol.Refs;
using Fleet.Protocol.Resources;
using Fleet.Protocol.Wire;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Serialization;

namespace Fleet.Grains.Tests;

/// <summary>What travels between processes: frozen names and numbers, and nothing lost on the way.</summary>
[Trait("tier", "fast")]
public sealed class WireContractTests
{
    private static readonly string Packed = typeof(IPackedLayout<>).Name;

    private const string ApprovedFile = "wire-contracts.approved.txt";

    private static readonly At Somewhere = new(3, 17, 2);

    public static TheoryData<object> Records => new(
        new AllocRequest(1, 2, 4096),
        new AllocReply(Errno.ENODEV, Somewhere, 5, 0x1000, 1, -1),
        new FreeRequest(1, 2, 3, 4, 0x2000, 4096),
        new FreeReply(Errno.EFAULT, Somewhere, 1),
        new AccessRequest(1, 2, 3, 4, 5, 6, AccessDirection.Write, AccessVia.Dma, ulong.MaxValue),
        new AccessReply(Errno.ESTALE, Somewhere, 7),
        new TicketReply(9, false, Errno.OK, Somewhere, "a reference"),
        new SlotReport(SlotReport.DeviceSlot, 1, 2, 3, Somewhere),
        new ZeroReply(true, 0, Somewhere),
        new FrontReply(Errno.OK, Somewhere, 1, 2, 3, 4, 5),
        FrontRequest.Of("h/d", new FreeRequest(1, 2, 3, 4, 5, 6)),
        new MapLife(1, 2, "h/d/bar4", 3, 4),
        new MapLife(1, 2, "h/d/range0", 3, 4, MemoryType.FsDax, true),
        new MapRange("map:h/d/bar4", 1, 2),
        new PinRequest(1, 2, 3, 4, 5),
        new PinReply(Errno.ENXIO, Somewhere, 1, PinReply.FirstNumber, 5),
        new UnpinRequest(1, 2, 3, 4),
        new UnpinReply(Errno.EFAULT, Somewhere),
        new PciBar(4, true, 1, 2, -3),
        new FailedBind("dev:h/d", Errno.ENOMEM, null),
        new OpenTicket("dev:h/d", 1, "unbind", 2, "x", true),
        new DeviceCounters(1, 2, 3, 4, 5, 6, 7, 8, 9));

    [Theory]
    [MemberData(nameof(Records))]
    public void A_record_arrives_as_it_was_sent(object record)
    {
        using var services = new ServiceCollection().AddSerializer().BuildServiceProvider();
        var serializer = services.GetRequiredService<Serializer>();
        Assert.Equal(record, serializer.Deserialize<object>(serializer.SerializeToArray(record)));
    }

    [Fact]
    public void Records_of_hot_operations_arrive_alone_and_in_vectors()
    {
        using var services = new ServiceCollection().AddSerializer().BuildServiceProvider();
        var serializer = services.GetRequiredService<Serializer>();
        Arrive(
            Gen.Select(Gen.Long, Gen.Int, Gen.ULong, Gen.Int, Gen.Int).Select(AllocRequestOf), serializer,
            sent => new AllocRequests(sent), vector => vector.Elements);
        Arrive(
            Gen.Select(Errnos, Positions, Gen.Long, Gen.ULong, Gen.Short, Gen.Short)
                .Select((err, at, number, address, resource, owner) =>
                    new AllocReply(err, at, number, address, resource, owner)),
            serializer, sent => sent, vector => vector);
        Arrive(
            Gen.Select(Gen.Long, Gen.Int, Gen.Int, Gen.Long, Gen.ULong, Gen.ULong, Gen.Int)
                .Select((op, session, gen, number, address, size, client) =>
                    new FreeRequest(op, session, gen, number, address, size, client)),
            serializer, sent => new FreeRequests(sent), vector => vector.Elements);
        Arrive(
            Gen.Select(Errnos, Positions, Gen.Short).Select((err, at, owner) => new FreeReply(err, at, owner)),
            serializer, sent => sent, vector => vector);
        Arrive(
            Gen.Select(Gen.Long, Gen.Int, Gen.Long, Gen.ULong, Gen.Int, Gen.Bool, Gen.ULong, Gen.Int)
                .Select((op, gen, number, pfn, pages, isWrite, tag, client) => new AccessRequest(
                    op, client ^ 1, gen, number, pfn, pages,
                    isWrite ? AccessDirection.Write : AccessDirection.Read, isWrite ? AccessVia.Dma : AccessVia.Cpu,
                    tag, client)),
            serializer, sent => new AccessRequests(sent), vector => vector.Elements);
        Arrive(
            Gen.Select(Errnos, Positions, Gen.ULong).Select((err, at, tag) => new AccessReply(err, at, tag)),
            serializer, sent => sent, vector => vector);

        static AllocRequest AllocRequestOf(long op, int session, ulong size, int client, int gen) =>
            new(op, session, size, client, gen);
    }

    [Fact]
    public void A_vector_of_numbers_that_count_up_takes_no_bytes_for_a_record()
    {
        using var services = new ServiceCollection().AddSerializer().BuildServiceProvider();
        var serializer = services.GetRequiredService<Serializer>();
        Assert.Equal(serializer.SerializeToArray(Requests(3)).Length, serializer.SerializeToArray(Requests(64)).Length);

        static AllocRequests Requests(int count) =>
            new([.. Enumerable.Range(0, count).Select(i => new AllocRequest((1L << 40) + i, 7, 4096, 3, 1))]);
    }

    // Goal: nothing is lost or takes more than its room, however long a vector is and wherever it does not count up.
    // Method: columns of vectors that fill several blocks, mostly regular, with numbers of any size strewn in.
    [Fact]
    public void Vectors_of_any_length_arrive_wherever_they_are_irregular()
    {
        using var services = new ServiceCollection().AddSerializer().BuildServiceProvider();
        var serializer = services.GetRequiredService<Serializer>();
        var strewnIn = Gen.Select(Gen.Int[0, 199], Gen.ULong, Gen.Int[0, 63]).Array[0, 30];
        Gen.Select(Gen.Int[0, 200], Gen.ULong, Gen.ULong, strewnIn)
            .Sample((length, first, step, strewn) =>
            {
                var sent = new AllocRequest[length];
                for (var i = 0; i < length; i++)
                {
                    var size = unchecked(first + (step * (ulong)i));
                    sent[i] = new(i, 7, size, int.MaxValue - i, strewn.Length == 0 ? 1 : i);
                }

                foreach (var (place, number, shift) in strewn.Where(one => one.Item1 < length))
                {
                    sent[place] = sent[place] with { SizeBytes = number >> shift, Op = unchecked((long)number) };
                }

                var arrived = serializer.Deserialize<AllocRequests>(
                    serializer.SerializeToArray(new AllocRequests(sent)));
                Assert.Equal(sent, arrived.Elements);
            });
    }

    // Goal: a call's requests travel packed too; an argument that is an array is written element by element.
    // Method: no method of a grain takes an array of what has a layout.
    [Fact]
    public void No_call_takes_an_array_of_records_that_could_travel_packed()
    {
        var packed = typeof(AtSurrogate).Assembly.GetTypes().Where(t => t.IsValueType)
            .Select(t => t.GetInterface(Packed)?.GetGenericArguments()[0]).OfType<Type>().ToHashSet();
        Assert.Equal(6, packed.Count);
        Assert.DoesNotContain(
            typeof(IPciDeviceGrain).Assembly.GetTypes().Where(t => t.IsInterface && Alias(t))
                .SelectMany(t => t.GetMethods()).SelectMany(m => m.GetParameters()),
            p => p.ParameterType.GetElementType() is { } element && packed.Contains(element));
    }

    [Fact]
    public void Bytes_that_are_no_vector_are_refused()
    {
        using var services = new ServiceCollection().AddSerializer().BuildServiceProvider();
        var serializer = services.GetRequiredService<Serializer>();
        var bytes = serializer.SerializeToArray(
            new AllocRequests([new AllocRequest(1, 2, 3), new AllocRequest(2, 2, 3)]));
        var length = bytes.AsSpan().IndexOf(new byte[] { 2, 0, 0, 0 });
        foreach (var wrong in new[] { -1, 0, 1, 65, 1000, int.MaxValue })
        {
            BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(length), wrong);
            Assert.Throws<InvalidDataException>(() => serializer.Deserialize<AllocRequests>(bytes));
        }
    }

    // Goal: bytes that were changed on their way are refused or are other records, and nothing else is read or thrown.
    [Fact]
    public void Bytes_that_were_changed_are_refused_or_are_other_records()
    {
        using var services = new ServiceCollection().AddSerializer().BuildServiceProvider();
        var serializer = services.GetRequiredService<Serializer>();
        var bytes = serializer.SerializeToArray(new AllocRequests(
            [.. Enumerable.Range(0, 70).Select(i => new AllocRequest(i, 2, (ulong)(i * i % 7 * 4096), i / 9))]));
        var length = bytes.AsSpan().IndexOf(new byte[] { 70, 0, 0, 0 }) + sizeof(int);
        Gen.Select(Gen.Int[length, bytes.Length - 1], Gen.Byte).Sample((place, wrong) =>
        {
            var changed = bytes.ToArray();
            changed[place] = wrong;
            var refusal = Record.Exception(() => serializer.Deserialize<AllocRequests>(changed));
            Assert.True(refusal is null or InvalidDataException);
        });
    }

    [Fact]
    public void Plans_and_reports_arrive_with_their_lists()
    {
        using var services = new ServiceCollection().AddSerializer().BuildServiceProvider();
        var serializer = services.GetRequiredService<Serializer>();
        var host = new HostPlan(
            "h", [new DevicePlan("h/d", "p2pdma", [new PciBar(2, true, 1, 2), new PciBar(4, true, 3, 4)])]);
        var copy = serializer.Deserialize<HostPlan>(serializer.SerializeToArray(host))!;
        Assert.Equal(host.Devices[0].Resources, copy.Devices[0].Resources);
        Assert.Equal(("h", "h/d", "p2pdma"), (copy.Name, copy.Devices[0].Key, copy.Devices[0].Driver));
        var run = new RunPlan(
            "r", "ALL", 7, TimeSpan.FromSeconds(1), 30, [new InjectionPlan("memremap.ram", Errno.ENXIO, 0.5)]);
        var again = serializer.Deserialize<RunPlan>(serializer.SerializeToArray(run))!;
        Assert.Equal(run.Injections, again.Injections);
        Assert.Equal(run, again with { Injections = run.Injections });
    }

    // Goal: no released name or number changes its meaning. Method: the contracts as text, compared with the approved
    // file.
    [Fact]
    public void Names_and_numbers_on_the_wire_are_the_approved_ones()
    {
        if (Environment.GetEnvironmentVariable("FLEET_APPROVE") is "1")
        {
            File.WriteAllText(
                Path.Combine(AppContext.BaseDirectory, "../../../" + ApprovedFile), Contracts());
        }
        else
        {
            Assert.Equal(File.ReadAllText(ApprovedFile).ReplaceLineEndings("\n"), Contracts());
        }
    }

    private static Gen<Errno> Errnos => Gen.Bool.Select(isOk => isOk ? Errno.OK : Errno.ESTALE);

    private static Gen<At> Positions =>
        Gen.Select(Gen.Int, Gen.Long, Gen.Int).Select((gen, seq, life) => new At(gen, seq, life));

    private static void Arrive<T, TVector>(
        Gen<T> records, Serializer serializer, Func<T[], TVector> vectorOf, Func<TVector, T[]> elementsOf) =>
        records.Array[0, 20].Sample(sent =>
        {
            var arrived = serializer.Deserialize<TVector>(serializer.SerializeToArray(vectorOf(sent)));
            Assert.Equal(sent, elementsOf(arrived!));
            foreach (var one in sent)
            {
                Assert.Equal(one, serializer.Deserialize<T>(serializer.SerializeToArray(one)));
            }
        });

    private static string Contracts()
    {
        var text = new StringBuilder();
        var assembly = typeof(AtSurrogate).Assembly;
        foreach (var type in assembly.GetTypes().Where(Alias).OrderBy(AliasOf, StringComparer.Ordinal))
        {
            text.Append(AliasOf(type)).Append('\n');
            if (type.IsInterface)
            {
                foreach (var method in type.GetMethods().OrderBy(m => m.Name, StringComparer.Ordinal))
                {
                    var parameters = string.Join(
                        ", ", method.GetParameters().Select(p => $"{Name(p.ParameterType)} {p.Name}"));
                    var alias = method.GetCustomAttribute<AliasAttribute>()!.Alias;
                    text.Append("  ").Append($"{alias}({parameters}) -> {Name(method.ReturnType)}\n");
                }
            }
            else
            {
                foreach (var field in type.GetProperties().Where(p => p.IsDefined(typeof(IdAttribute)))
                    .OrderBy(p => p.GetCustomAttribute<IdAttribute>()!.Id))
                {
                    text.Append("  ").Append(
                        $"{field.GetCustomAttribute<IdAttribute>()!.Id} {Name(field.PropertyType)} {field.Name}\n");
                }
            }
        }

        foreach (var layout in assembly.GetTypes().Where(t => t.GetInterface(Packed) is not null && t.IsValueType)
            .OrderBy(t => t.Name, StringComparer.Ordinal))
        {
            text.Append(layout.Name).Append("\n  ")
                .Append(layout.GetProperty("Names")!.GetValue(null)).Append('\n');
        }

        return text.ToString();
    }

    private static bool Alias(Type type) =>
        type.IsDefined(typeof(AliasAttribute), false) && AliasOf(type).StartsWith("fleet.", StringComparison.Ordinal)
        && !type.Name.Contains("Invokable", StringComparison.Ordinal);

    private static string AliasOf(Type type) => type.GetCustomAttribute<AliasAttribute>(false)!.Alias;

    private static string Name(Type type) => type.IsGenericType
        ? $"{type.Name[..type.Name.IndexOf('`', StringComparison.Ordinal)]}"
        + $"<{string.Join(", ", type.GetGenericArguments().Select(Name))}>"
        : type.Name;
}
