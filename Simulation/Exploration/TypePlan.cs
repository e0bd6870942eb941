using System.Collections.Concurrent;
using System.Reflection;
using System.Reflection.Emit;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Threading.Tasks.Sources;
using Fleet.Kernel;
using Fleet.Kernel.Host;
using Fleet.Kernel.Profiles;
using Fleet.Simulation.Scenarios;

namespace Fleet.Simulation.Exploration;

/// <summary>How objects of one type are folded into a digest, and how their state is put back.</summary>
/// <remarks>Code is made for each type when it is first met, and kept for the life of the process.</remarks>
internal sealed class TypePlan
{
    private const BindingFlags Declared =
        BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly;

    private static readonly ConcurrentDictionary<Type, TypePlan> Plans = [];
    private static readonly MethodInfo Word = Method(typeof(StateGraph), nameof(StateGraph.Word));
    private static readonly MethodInfo Reference = Method(typeof(StateGraph), nameof(StateGraph.Reference));
    private static readonly MethodInfo Text = Method(typeof(StateGraph), nameof(StateGraph.Text));

    private readonly Lazy<Action<object, object>?> _putBack;
    private readonly Lazy<FieldInfo[]> _links;

    private TypePlan(Type type)
    {
        var id = StateHash.Seed;
        foreach (var letter in type.FullName ?? type.Name)
        {
            StateHash.Mix(ref id, (ulong)letter);
        }

        Id = id;
        IsConstant = IsConstantType(type);
        Fold = IsConstant ? static (_, _) => { } : FoldOf(type);
        _putBack = new(() => PutBackOf(type));
        _links = new(() => [.. FieldsOf(type, all: true).Where(field => HoldsReferences(field.FieldType))]);
    }

    internal delegate void FoldStruct<T>(ref T value, StateGraph graph);

    /// <summary>Tells kinds of objects apart.</summary>
    internal ulong Id { get; }

    /// <summary>Never changes while a world lives, or belongs to the machinery around it.</summary>
    internal bool IsConstant { get; }

    internal Action<object, StateGraph> Fold { get; }

    /// <summary>Copies what can change from a copy of an object into it; null where nothing can.</summary>
    internal Action<object, object>? PutBack => _putBack.Value;

    internal static TypePlan Of(Type type) => Plans.GetOrAdd(type, static one => new(one));

    /// <summary>Adds the objects that the fields of <paramref name="one"/> lead to.</summary>
    internal void AddNeighbours(object one, List<object> neighbours)
    {
        if (one is Array many)
        {
            if (HoldsReferences(one.GetType().GetElementType()!))
            {
                foreach (var element in many)
                {
                    Add(element, neighbours);
                }
            }

            return;
        }

        foreach (var field in _links.Value)
        {
            Add(field.GetValue(one), neighbours);
        }
    }

    private static void Add(object? value, List<object> neighbours)
    {
        if (value is ValueType)
        {
            Of(value.GetType()).AddNeighbours(value, neighbours);
        }
        else if (value is not null)
        {
            neighbours.Add(value);
        }
    }

    private static MethodInfo Method(Type type, string name) =>
        type.GetMethod(
            name, BindingFlags.Static | BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic)!;

    private static bool IsConstantType(Type type) =>
        type == typeof(World) || type == typeof(Scenario) || type == typeof(KernelProfile)
        || type == typeof(WorldScript)
        || type == typeof(WorldOp) || type == typeof(List<WorldOp>) || type == typeof(WorldOp[])
        || type == typeof(ExploreHost) || type == typeof(ExecutionContext)
        || typeof(Type).IsAssignableFrom(type)
        || typeof(MemberInfo).IsAssignableFrom(type);

    private static bool HoldsReferences(Type type) =>
        !type.IsPrimitive && !type.IsEnum && !type.IsPointer && type != typeof(string)
        && (!type.IsValueType || FieldsOf(type, all: true).Any(field => HoldsReferences(field.FieldType)));

    /// <param name="all">Also what is no state.</param>
    private static IEnumerable<FieldInfo> FieldsOf(Type type, bool all)
    {
        for (var at = type; at is not null && at != typeof(object) && at != typeof(ValueType); at = at.BaseType)
        {
            foreach (var field in at.GetFields(Declared))
            {
                if (all || IsState(field))
                {
                    yield return field;
                }
            }
        }
    }

    private static bool IsState(FieldInfo field)
    {
        var (type, owner) = (field.FieldType, field.DeclaringType!);
        var isTask = owner == typeof(ValueTask)
            || (owner.IsGenericType && owner.GetGenericTypeDefinition() == typeof(ValueTask<>));
        return field.GetCustomAttribute<NotStateAttribute>() is null
            && !IsConstantType(type)

            // What was awaited leads to the frame; how often that frame was used before is no state.
            && (!isTask || field.Name == "_obj")

            // A box of the library's builder is a task: only its state machine counts.
            && (!typeof(Task).IsAssignableFrom(owner) || field.Name == "StateMachine")
            && field.Name != "<>t__builder"
            && !(type.IsGenericType && type.GetGenericTypeDefinition() == typeof(ManualResetValueTaskSourceCore<>));
    }

    private static Action<object, StateGraph> FoldOf(Type type)
    {
        if (type == typeof(string))
        {
            return static (one, graph) => graph.Text((string)one);
        }

        if (type == typeof(PercpuRef))
        {
            // A per-CPU counter that was folded keeps its last value, which nobody reads.
            return static (one, graph) => ((PercpuRef)one).HashInto(ref graph.Hash);
        }

        if (type == typeof(RcuDomain))
        {
            // Sections are numbered for ever; whom each grace period waits for is the state.
            return static (one, graph) => ((RcuDomain)one).HashInto(ref graph.Hash);
        }

        if (typeof(IOwnDigest).IsAssignableFrom(type))
        {
            return static (one, graph) => ((IOwnDigest)one).HashInto(ref graph.Hash);
        }

        if (typeof(Delegate).IsAssignableFrom(type))
        {
            return static (one, graph) =>
            {
                graph.Word((ulong)((Delegate)one).Method.MetadataToken);
                graph.Reference(((Delegate)one).Target);
            };
        }

        if (type == typeof(Dictionary<long, int>))
        {
            return static (one, graph) =>
            {
                var sum = 0UL;
                foreach (var (key, value) in (Dictionary<long, int>)one)
                {
                    var pair = StateHash.Seed;
                    StateHash.Mix(ref pair, key);
                    StateHash.Mix(ref pair, value);
                    sum = unchecked(sum + pair);
                }

                graph.Word(sum);
            };
        }

        if (type.IsArray || (type.IsGenericType && type.GetGenericTypeDefinition() == typeof(List<>)))
        {
            var element = type.IsArray ? type.GetElementType()! : type.GetGenericArguments()[0];
            var name = IsPlain(element) ? nameof(FoldPlain)
                : element.IsValueType ? nameof(FoldStructs) : nameof(FoldReferences);
            var fold = Method(typeof(TypePlan), name + (type.IsArray ? "OfArray" : "OfList"));
            return fold.MakeGenericMethod(element).CreateDelegate<Action<object, StateGraph>>();
        }

        var code = new DynamicMethod(
            "Fold", typeof(void), [typeof(object), typeof(StateGraph)], typeof(TypePlan).Module, skipVisibility: true);
        var il = code.GetILGenerator();
        il.DeclareLocal(type);
        il.Emit(OpCodes.Ldarg_0);
        il.Emit(OpCodes.Castclass, type);
        il.Emit(OpCodes.Stloc_0);
        EmitFields(il, type, [], () => il.Emit(OpCodes.Ldloc_0));
        il.Emit(OpCodes.Ret);
        return code.CreateDelegate<Action<object, StateGraph>>();
    }

    private static bool IsPlain(Type type) => type.IsPrimitive || type.IsEnum;

    private static void EmitFields(ILGenerator il, Type type, List<FieldInfo> path, Action load)
    {
        foreach (var field in FieldsOf(type, all: false))
        {
            if (field.FieldType is { IsValueType: true } inner && !IsPlain(inner))
            {
                EmitFields(il, inner, [.. path, field], load);
                continue;
            }

            if (field.FieldType.IsPointer)
            {
                throw new ExplorationException($"{field.DeclaringType} has a pointer, which is no state of a world.");
            }

            il.Emit(OpCodes.Ldarg_1);
            load();
            foreach (var outer in path)
            {
                il.Emit(OpCodes.Ldflda, outer);
            }

            il.Emit(OpCodes.Ldfld, field);
            if (field.FieldType.IsValueType)
            {
                il.Emit(field.FieldType == typeof(double) || field.FieldType == typeof(float)
                    ? OpCodes.Conv_R8 : OpCodes.Conv_U8);
                if (field.FieldType == typeof(double) || field.FieldType == typeof(float))
                {
                    il.Emit(OpCodes.Call, Method(typeof(BitConverter), nameof(BitConverter.DoubleToUInt64Bits)));
                }

                il.Emit(OpCodes.Call, Word);
            }
            else
            {
                il.Emit(OpCodes.Call, field.FieldType == typeof(string) ? Text : Reference);
            }
        }
    }

    private static Action<object, object>? PutBackOf(Type type)
    {
        if (type.IsArray)
        {
            return Method(typeof(TypePlan), nameof(PutBackArray)).MakeGenericMethod(type.GetElementType()!)
                .CreateDelegate<Action<object, object>>();
        }

        var code = new DynamicMethod(
            "PutBack", typeof(void), [typeof(object), typeof(object)], typeof(TypePlan).Module, skipVisibility: true);
        var il = code.GetILGenerator();
        il.DeclareLocal(type);
        il.DeclareLocal(type);
        il.Emit(OpCodes.Ldarg_0);
        il.Emit(OpCodes.Castclass, type);
        il.Emit(OpCodes.Stloc_0);
        il.Emit(OpCodes.Ldarg_1);
        il.Emit(OpCodes.Castclass, type);
        il.Emit(OpCodes.Stloc_1);
        var any = false;
        foreach (var field in FieldsOf(type, all: true).Where(field => !field.IsInitOnly))
        {
            any = true;
            il.Emit(OpCodes.Ldloc_1);
            il.Emit(OpCodes.Ldloc_0);
            il.Emit(OpCodes.Ldfld, field);
            il.Emit(OpCodes.Stfld, field);
        }

        il.Emit(OpCodes.Ret);
        return any ? code.CreateDelegate<Action<object, object>>() : null;
    }

    private static void PutBackArray<T>(object from, object to) => ((T[])from).AsSpan().CopyTo((T[])to);

    private static void FoldPlainOfArray<T>(object one, StateGraph graph)
        where T : unmanaged => FoldPlain<T>((T[])one, graph);

    private static void FoldPlainOfList<T>(object one, StateGraph graph)
        where T : unmanaged => FoldPlain<T>(CollectionsMarshal.AsSpan((List<T>)one), graph);

    private static void FoldPlain<T>(ReadOnlySpan<T> many, StateGraph graph)
        where T : unmanaged
    {
        graph.Word((ulong)many.Length);
        var bytes = MemoryMarshal.AsBytes(many);
        foreach (var word in MemoryMarshal.Cast<byte, ulong>(bytes))
        {
            graph.Word(word);
        }

        foreach (var rest in bytes[(bytes.Length & ~7)..])
        {
            graph.Word(rest);
        }
    }

    private static void FoldReferencesOfArray<T>(object one, StateGraph graph)
        where T : class => FoldReferences<T>((T?[])one, graph);

    private static void FoldReferencesOfList<T>(object one, StateGraph graph)
        where T : class => FoldReferences<T>(CollectionsMarshal.AsSpan((List<T?>)one), graph);

    private static void FoldReferences<T>(ReadOnlySpan<T?> many, StateGraph graph)
        where T : class
    {
        graph.Word((ulong)many.Length);
        foreach (var one in many)
        {
            graph.Reference(one);
        }
    }

    private static void FoldStructsOfArray<T>(object one, StateGraph graph) => FoldStructs<T>((T[])one, graph);

    private static void FoldStructsOfList<T>(object one, StateGraph graph) =>
        FoldStructs(CollectionsMarshal.AsSpan((List<T>)one), graph);

    private static void FoldStructs<T>(Span<T> many, StateGraph graph)
    {
        graph.Word((ulong)many.Length);
        foreach (ref var one in many)
        {
            StructPlan<T>.Fold(ref one, graph);
        }
    }

    private static class StructPlan<T>
    {
        internal static readonly FoldStruct<T> Fold = Make();

        private static FoldStruct<T> Make()
        {
            var code = new DynamicMethod(
                "FoldStruct", typeof(void), [typeof(T).MakeByRefType(), typeof(StateGraph)], typeof(TypePlan).Module,
                skipVisibility: true);
            var il = code.GetILGenerator();
            EmitFields(il, typeof(T), [], () => il.Emit(OpCodes.Ldarg_0));
            il.Emit(OpCodes.Ret);
            return code.CreateDelegate<FoldStruct<T>>();
        }
    }
}

/// <summary>An object whose fields say more than its state.</summary>
internal interface IOwnDigest
{
    void HashInto(ref ulong hash);
}
