using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Microsoft.CodeAnalysis.CSharp.Syntax;

namespace Fleet.Mutation;

/// <summary>What a statement reads and writes, by name, with what it calls in the law included.</summary>
/// <remarks>
/// Errs to the safe side: equal names of different objects count as one, whatever is handed to the class library counts
/// as written, and a call whose body is not known, one of an interface above all, may touch everything.
/// </remarks>
internal sealed class Touched
{
    private readonly HashSet<string> _named = [];
    private readonly HashSet<string> _written = [];
    private readonly HashSet<ISymbol> _entered = new(SymbolEqualityComparer.Default);
    private bool _isUnknown;

    public static Touched By(SyntaxNode node, SemanticModel model)
    {
        var touched = new Touched();
        touched.Add(node, model);
        return touched;
    }

    public bool MayConflictWith(Touched other) =>
        _isUnknown || other._isUnknown || _written.Overlaps(other._named) || other._written.Overlaps(_named);

    private static IEnumerable<string> Names(SyntaxNode node) => node.DescendantNodesAndSelf()
        .OfType<IdentifierNameSyntax>().Select(name => name.Identifier.ValueText);

    /// <summary>What an assignment changes: of <c>node.Older</c> the field, of <c>depths[slot]</c> the array.</summary>
    private static IEnumerable<string> Targets(ExpressionSyntax target) => target switch
    {
        MemberAccessExpressionSyntax member => [member.Name.Identifier.ValueText],
        ElementAccessExpressionSyntax element => Targets(element.Expression),
        _ => Names(target),
    };

    private void Add(SyntaxNode node, SemanticModel model)
    {
        _named.UnionWith(Names(node));
        foreach (var inner in node.DescendantNodesAndSelf())
        {
            switch (inner)
            {
                case AssignmentExpressionSyntax assignment:
                    _written.UnionWith(Targets(assignment.Left));
                    break;
                case PrefixUnaryExpressionSyntax
                {
                    RawKind: (int)SyntaxKind.PreIncrementExpression or (int)SyntaxKind.PreDecrementExpression,
                } prefix:
                    _written.UnionWith(Targets(prefix.Operand));
                    break;
                case PostfixUnaryExpressionSyntax
                {
                    RawKind: (int)SyntaxKind.PostIncrementExpression or (int)SyntaxKind.PostDecrementExpression,
                } postfix:
                    _written.UnionWith(Targets(postfix.Operand));
                    break;
                case ArgumentSyntax argument when !argument.RefKindKeyword.IsKind(SyntaxKind.None):
                    _written.UnionWith(Targets(argument.Expression));
                    break;
                case InvocationExpressionSyntax call:
                    var symbol = model.GetSymbolInfo(call).Symbol;
                    if (symbol is { DeclaringSyntaxReferences.IsEmpty: true })
                    {
                        var given = call.ArgumentList.Arguments.Select(argument => argument.Expression)
                            .Where(argument => model.GetTypeInfo(argument).Type is not { IsValueType: true });
                        var receiver = !symbol.IsStatic && call.Expression is MemberAccessExpressionSyntax access
                            ? Targets(access.Expression)
                            : [];
                        _written.UnionWith(given.SelectMany(Names).Concat(receiver));
                    }

                    Enter(symbol, model);
                    break;
                case BaseObjectCreationExpressionSyntax creation:
                    Enter(model.GetSymbolInfo(creation).Symbol, model);
                    break;
                case IdentifierNameSyntax name when model.GetSymbolInfo(name).Symbol is IPropertySymbol property:
                    Enter(property, model);
                    break;
            }
        }
    }

    private void Enter(ISymbol? symbol, SemanticModel model)
    {
        if (symbol is null or IMethodSymbol { MethodKind: MethodKind.DelegateInvoke }
            || symbol.ContainingType.TypeKind is TypeKind.Interface)
        {
            _isUnknown = true;
            return;
        }

        var definition = symbol.OriginalDefinition;
        if (!_entered.Add(definition))
        {
            return;
        }

        // The class library knows nothing of the law: it touches what it is given.
        foreach (var reference in definition.DeclaringSyntaxReferences)
        {
            if (symbol.IsAbstract || symbol.IsVirtual || symbol.IsOverride)
            {
                _isUnknown = true;
                return;
            }

            var body = reference.GetSyntax();
            Add(body, model.Compilation.GetSemanticModel(body.SyntaxTree));
        }
    }
}
