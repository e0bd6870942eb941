using System.Collections;
using System.Reflection;
using Fleet.Kernel.History;

namespace Fleet.Checking.Tests;

/// <summary>What the online checker holds of a device does not depend on what the device went through.</summary>
[Trait("tier", "fast")]
public sealed class IdleDeviceTests
{
    /// <summary>Room for the range that was torn down, which is remembered to see that it is used again.</summary>
    private const int Slack = 24;

    [Fact]
    public void A_device_that_was_loaded_and_bound_again_holds_what_a_new_one_does()
    {
        var world = new World();
        var streams = new OnlineStreams(world);
        world.Bind();
        streams.Feed();
        var idle = streams.Held();
        var held = Enumerable.Range(0, 16).Select(page => world.Alloc(page: page)).ToList();
        for (var page = 0; page < held.Count; page++)
        {
            world.Access(held[page], page: page);
        }

        streams.Feed();
        Assert.True(streams.Held() > idle + Slack, "A loaded device holds what lives in it.");
        for (var page = 0; page < held.Count; page++)
        {
            world.Free(held[page], page: page);
        }

        world.Unbind();
        for (var life = 2; life < 12; life++)
        {
            world.NextLife();
            world.Bind();
            streams.Feed();
            Assert.InRange(streams.Held(), 1, idle + Slack);
            world.Unbind();
        }
    }

    /// <summary>The streams of a world's objects, as the live fleet keeps them.</summary>
    private sealed class OnlineStreams(World world)
    {
        private readonly OnlineChecker _checker = new(world.Header.Profile, world.Objects, _ => { });
        private readonly Dictionary<int, IObjectStream> _streams = [];
        private int _fed;

        /// <summary>Feeds what was recorded since the last time.</summary>
        public void Feed()
        {
            for (; _fed < world.Records.Count; _fed++)
            {
                var record = world.Records[_fed];
                if (!_streams.TryGetValue(record.At.Obj, out var stream))
                {
                    _streams[record.At.Obj] = stream =
                        _checker.Open(world.Objects.Name(record.At.Obj), record.At.Gen);
                }

                if (record.Event is { } happened)
                {
                    stream.Observe(happened);
                }
                else
                {
                    stream.Observe(record.Operation with { IntendedNs = 0, SentNs = 0, DoneNs = 0 });
                }
            }
        }

        /// <summary>Objects and places of arrays that are reached from the streams, but what all devices
        /// share.</summary>
        public int Held()
        {
            var held = 0;
            var seen = new HashSet<object>(ReferenceEqualityComparer.Instance);
            var open = new Stack<object>(_streams.Values);
            while (open.TryPop(out var one))
            {
                if (one is string or Delegate or Type or ObjectTable || IsShared(one) || !seen.Add(one))
                {
                    continue;
                }

                held++;
                if (one is Array array)
                {
                    held += array.Length;
                    Push(open, array);
                    continue;
                }

                PushFields(open, one);
            }

            return held;
        }

        private static bool IsShared(object one) => one.GetType().Name is "CheckContext" or "Ledger";

        private static void Push(Stack<object> open, IEnumerable elements)
        {
            foreach (var element in elements)
            {
                if (element is ValueType value)
                {
                    PushFields(open, value);
                }
                else if (element is not null)
                {
                    open.Push(element);
                }
            }
        }

        private static void PushFields(Stack<object> open, object one)
        {
            for (var type = one.GetType(); type is not null; type = type.BaseType)
            {
                if (type.IsPrimitive || type.IsEnum)
                {
                    return;
                }

                foreach (var field in type.GetFields(
                    BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly))
                {
                    switch (field.GetValue(one))
                    {
                        case null:
                            break;
                        case ValueType value when !field.FieldType.IsPrimitive && !field.FieldType.IsEnum:
                            PushFields(open, value);
                            break;
                        case ValueType:
                            break;
                        case var reached:
                            open.Push(reached);
                            break;
                    }
                }
            }
        }
    }
}
